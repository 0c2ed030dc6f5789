"""Every format holds the same verdicts, and a file is written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyser import (
    FORMATS,
    OutputFormat,
    analyse,
    render_summary,
    render_verdicts,
    summarise,
    write_verdicts,
)
from sta_registry import Sta

SCHEMA = pa.schema(
    [
        ("flow_id", pa.string()),
        ("first_ns", pa.int64()),
        ("last_ns", pa.int64()),
        ("src_ip", pa.string()),
        ("src_port", pa.uint16()),
        ("dst_ip", pa.string()),
        ("dst_port", pa.uint16()),
        ("protocol", pa.uint8()),
        ("packets", pa.int64()),
        ("ip_bytes", pa.int64()),
        ("class", pa.string()),
        ("probability", pa.float64()),
    ]
)


def verdict(number: int = 0, **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "flow_id": f"{number:016x}",
        "first_ns": 1_767_225_600_123_456_789 + number * 10**9,
        "last_ns": 1_767_225_602_623_456_789 + number * 10**9,
        "src_ip": "198.18.0.7",
        "src_port": 40_001,
        "dst_ip": "198.18.9.9",
        "dst_port": 443,
        "protocol": 6,
        "packets": 1234,
        "ip_bytes": 5_678_901,
        "class": "transfer",
        "probability": 0.987654,
    }
    return row | changes


def table_of(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def rendered(table: pa.Table, form: OutputFormat, **options: int) -> bytes:
    return b"".join(render_verdicts(table, form, **options))


def read_back(data: bytes, form: OutputFormat) -> list[dict[str, object]]:
    if form == "parquet":
        return pq.read_table(io.BytesIO(data)).to_pylist()
    if form == "json":
        return json.loads(data)
    if form == "jsonl":
        return [json.loads(line) for line in data.decode().split("\n")[:-1]]
    kinds = {field.name: int if pa.types.is_integer(field.type) else str for field in SCHEMA}
    kinds["probability"] = float
    reader = csv.DictReader(io.StringIO(data.decode(), newline=""))
    return [{name: kinds[name](value) for name, value in row.items()} for row in reader]


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "table"])
@settings(deadline=None)  # the first call of a format loads its library
@given(
    rows=st.lists(
        st.builds(
            verdict,
            number=st.integers(0, 2**31),
            src_ip=st.ip_addresses().map(str),
            src_port=st.integers(0, 2**16 - 1),
            ip_bytes=st.integers(0, 2**62),
            **{"class": st.text(st.characters(exclude_categories=["Cs"]), max_size=20)},
            probability=st.floats(0, 1).map(lambda p: round(p, 6)),
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read_back(form: OutputFormat, rows: list[dict[str, object]]) -> None:
    assert read_back(rendered(table_of(*rows), form), form) == rows


@pytest.mark.parametrize("form", FORMATS)
def test_real_verdicts_in_every_format(
    form: OutputFormat, sta: Sta, captures: dict[str, Path], tmp_path: Path
) -> None:
    table = analyse(captures["unseen"], sta).table
    file = tmp_path / f"verdicts.{form}"
    write_verdicts(table, form, file)
    stream = io.BytesIO()
    write_verdicts(table, form, stream)
    assert file.read_bytes() == stream.getvalue()
    if form == "table":
        assert len(stream.getvalue().splitlines()) == table.num_rows + 2
    else:
        assert read_back(file.read_bytes(), form) == table.to_pylist()


def test_parquet_says_which_sta_spoke(sta: Sta, captures: dict[str, Path]) -> None:
    data = rendered(analyse(captures["unseen"], sta).table, "parquet")
    metadata = pq.read_schema(io.BytesIO(data)).metadata
    assert metadata[b"sta"] == b"kinds"
    assert metadata[b"model_sha256"] == sta.manifest.model.sha256.encode()


def test_a_row_of_the_table_reads_well() -> None:
    lines = rendered(table_of(verdict()), "table").decode().splitlines()
    assert lines[0].split("  ")[0].strip() == "Start (UTC)"
    assert " ".join(lines[2].split()) == (
        "2026-01-01 00:00:00.123 198.18.0.7:40001 198.18.9.9:443 TCP transfer "
        "0.988 1,234 5,678,901 2.500"
    )


def test_ipv6_end_points_are_bracketed_and_never_cut() -> None:
    address = "2001:db8:1234:5678:9abc:def0:1234:5678"
    row = verdict(src_ip=address, dst_ip=address, protocol=17, **{"class": "[bold]odd[/bold]"})
    text = rendered(table_of(row), "table").decode()
    assert text.count(f"[{address}]:") == 2
    assert "UDP" in text
    assert "[bold]odd[/bold]" in text


def test_a_narrow_table_leaves_out_the_last_columns_only() -> None:
    wide = rendered(table_of(verdict()), "table", width=130).decode().splitlines()
    narrow = rendered(table_of(verdict()), "table", width=100).decode().splitlines()
    least = rendered(table_of(verdict()), "table", width=20).decode().splitlines()
    assert wide[0].endswith("Seconds")
    assert narrow[0].endswith("Packets")
    assert least[0].endswith("Probability")
    assert "198.18.0.7:40001  198.18.9.9:443" in least[2]


def test_the_table_says_how_many_rows_it_leaves_out() -> None:
    table = table_of(*(verdict(number) for number in range(1500)))
    text = rendered(table, "table", limit=10).decode()
    assert text.endswith("… 1,490 more\n")
    assert text.count("transfer") == 10
    assert "more" not in rendered(table.slice(0, 10), "table", limit=10).decode()


@pytest.mark.parametrize(("form", "empty"), [("json", b"[]\n"), ("jsonl", b"")])
def test_no_verdicts(form: OutputFormat, empty: bytes) -> None:
    assert rendered(table_of(), form) == empty


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.json"
    write_verdicts(table_of(verdict()), "json", file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_verdicts(table_of(verdict(probability=float("nan"))), "json", file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_summary_as_text() -> None:
    rows = [verdict(0), verdict(1, probability=0.5), verdict(2, **{"class": "typing"})]
    lines = render_summary(summarise(table_of(*rows))).splitlines()
    assert " ".join(lines[2].split()) == "transfer 2 2,468 11,357,802 0.744"
    assert " ".join(lines[3].split()) == "typing 1 1,234 5,678,901 0.988"
