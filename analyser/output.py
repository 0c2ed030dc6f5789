"""Verdicts as text and bytes: a table to read, JSON, JSON Lines, CSV and Parquet to go on with."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from topologies.files import replacing

OutputFormat = Literal["table", "json", "jsonl", "csv", "parquet"]
FORMATS: Final[tuple[OutputFormat, ...]] = get_args(OutputFormat)

WIDTH: Final = 160  # of a table that no terminal shows
_PROTOCOLS: Final = {6: "TCP", 17: "UDP"}
_BATCH_ROWS: Final = 16_384
_GAP: Final = "  "
_HEADER: Final = (
    *("Start (UTC)", "From", "To", "Protocol", "Class", "Probability"),
    *("Packets", "IP bytes", "Seconds"),
)
_SIZES: Final = {"packets": "Packets", "ip_bytes": "IP bytes"}
_FOREIGN: Final = ("File", "Row", "Class", "Probability")

Row = dict[str, Any]


def write_verdicts(
    table: pa.Table,
    form: OutputFormat,
    destination: Path | BinaryIO,
    *,
    limit: int | None = None,
    width: int = WIDTH,
) -> None:
    """Write verdicts to a file, whole or not at all, or to an open binary stream.

    Of the format ``table``: ``limit`` rows are shown, and the last columns are left out where they
    do not fit in ``width`` characters.
    """
    if isinstance(destination, Path):
        with replacing(destination) as temporary, temporary.open("wb") as stream:
            write_verdicts(table, form, stream, limit=limit, width=width)
        return
    for block in render_verdicts(table, form, limit=limit, width=width):
        destination.write(block)


def render_verdicts(
    table: pa.Table, form: OutputFormat, *, limit: int | None = None, width: int = WIDTH
) -> Iterator[bytes]:
    """The bytes of `write_verdicts`, in blocks."""
    if form == "table":
        yield _text_table(table, limit, width).encode()
    elif form == "json":
        yield from _json_array(table)
    elif form == "jsonl":
        yield from _json_lines(table)
    elif form == "csv":
        yield _csv(table)
    else:
        yield _parquet(table)


def render_summary(summary: pa.Table, *, width: int = WIDTH) -> str:
    """The table of `summarise` as text."""
    rows = [
        (
            row["class"],
            f"{row['flows']:,}",
            *(f"{row[name]:,}" for name in _SIZES if name in row),
            f"{row['mean_probability']:.3f}",
        )
        for row in summary.to_pylist()
    ]
    sizes = [title for name, title in _SIZES.items() if name in summary.column_names]
    header = ("Class", "Flows", *sizes, "Mean probability")
    return _grid(header, rows, width, texts=1, least=2)


def _text_table(table: pa.Table, limit: int | None, width: int) -> str:
    shown = table if limit is None else table.slice(0, limit)
    rows = shown.to_pylist()
    if "src_ip" in table.column_names:
        text = _grid(_HEADER, [_cells(row) for row in rows], width, texts=5, least=6)
    else:
        text = _grid(_FOREIGN, [_foreign_cells(row) for row in rows], width, texts=1, least=4)
    more = table.num_rows - shown.num_rows
    return text + (f"… {more:,} more\n" if more else "")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        _time(row["first_ns"]),
        _end_point(row["src_ip"], row["src_port"]),
        _end_point(row["dst_ip"], row["dst_port"]),
        _PROTOCOLS.get(row["protocol"], str(row["protocol"])),
        row["class"],
        f"{row['probability']:.3f}",
        f"{row['packets']:,}",
        f"{row['ip_bytes']:,}",
        f"{(row['last_ns'] - row['first_ns']) / 1e9:.3f}",
    )


def _foreign_cells(row: Row) -> tuple[str, ...]:
    return (row["file"], f"{row['row']}", row["class"], f"{row['probability']:.3f}")


def _time(since_1970_ns: int) -> str:
    seconds, rest_ns = divmod(since_1970_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest_ns // 1_000_000:03d}"


def _end_point(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _grid(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int, *, texts: int, least: int
) -> str:
    """Aligned columns, the first ``texts`` to the left; past ``width`` from the right left out.

    At least ``least`` columns stay, and no cell is ever cut: an address must be whole to be used.
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    count = len(header)
    while count > least and sum(widths[:count]) + len(_GAP) * (count - 1) > width:
        count -= 1
    lines.insert(1, tuple("─" * size for size in widths))
    return "".join(
        _GAP.join(
            cell.ljust(size) if place < texts else cell.rjust(size)
            for place, (cell, size) in enumerate(zip(line[:count], widths, strict=False))
        ).rstrip()
        + "\n"
        for line in lines
    )


def _json_lines(table: pa.Table) -> Iterator[bytes]:
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in batch.to_pylist()]
        yield "".join(f"{line}\n" for line in lines).encode()


def _json_array(table: pa.Table) -> Iterator[bytes]:
    between = b"[\n"
    for block in _json_lines(table):
        for line in block.splitlines():
            yield between + line
            between = b",\n"
    yield b"\n]\n" if table.num_rows else b"[]\n"


def _csv(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pa_csv.write_csv(table, stream)
    return stream.getvalue()


def _parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()
