"""Flow tables into files: the same values in every format, whole or not at all."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowmeter import MeterConfig
from flowmeter.output.files import FORMATS, Format, open_writer
from flowmeter.output.metadata import described
from flowmeter.output.parquet import COMPRESSIONS, ROW_GROUP_ROWS
from topologies.errors import InputError

NAME = 'lab "7", Köln\n'


def column(name: str, kind: pa.DataType, role: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"role": role})


def sequence(kind: pa.DataType, length: int = 3) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False), length)


SCHEMA = pa.schema(
    [
        column("flow_id", pa.string(), "identity"),
        column("network", pa.string(), "identity"),
        column("src_ip", pa.string(), "key"),
        column("first_ns", pa.int64(), "time"),
        column("c2s_packets", pa.int32(), "feature"),
        column("duration_s", pa.float64(), "feature"),
        column("c2s_iat_mean_ms", pa.float32(), "feature"),
        pa.field("told", pa.bool_()),
        column("seq_size_bytes", sequence(pa.int32()), "sequence"),
        column("seq_iat_us", sequence(pa.float32()), "sequence"),
    ]
)


def listed(name: str, values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values), type=SCHEMA.field(name).type)


def rows(count: int, *, since: int = 0) -> pa.RecordBatch:
    number = np.arange(since, since + count)
    means = np.where(number % 3 == 0, np.nan, number / 7).astype(np.float32)
    lists = np.stack([number, -number, number % 5], axis=1).reshape(-1)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([f"{at:016x}" for at in number]),
            pa.array([NAME] * count),
            pa.array([f"10.0.0.{at % 250}" for at in number]),
            pa.array(1_700_000_000_000_000_000 + number),
            pa.array(number.astype(np.int32)),
            pa.array(number * 1e-9),
            pa.array(means),
            pa.array([[True, None, False][at % 3] for at in number], pa.bool_()),
            listed("seq_size_bytes", lists.astype(np.int32)),
            listed("seq_iat_us", (lists / 3).astype(np.float32)),
        ],
        schema=SCHEMA,
    )  # fmt: skip


def write(path: Path, *batches: pa.RecordBatch, **options: Any) -> Path:
    with open_writer(path, SCHEMA, **options) as writer:
        for batch in batches:
            writer.write(batch)
    assert writer.rows == sum(batch.num_rows for batch in batches)
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_parquet_gives_back_every_bit(tmp_path: Path, compression: str) -> None:
    path = write(tmp_path / "flows.parquet", rows(5), rows(4, since=5), compression=compression)
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert repr(table.to_pylist()) == repr(rows(9).to_pylist())


def test_parquet_carries_where_it_came_from(tmp_path: Path) -> None:
    config = MeterConfig(udp_idle_s=7)
    schema = described(SCHEMA, run_id="r1", networks=["a", NAME], config=config)
    with open_writer(tmp_path / "flows.parquet", schema) as writer:
        writer.write(rows(1))
    told = pq.read_schema(tmp_path / "flows.parquet").metadata
    assert (told[b"run_id"], json.loads(told[b"networks"])) == (b"r1", ["a", NAME])
    assert json.loads(told[b"config"])["udp_idle_s"] == 7
    assert told[b"format"] == b"2"


def test_the_cut_into_batches_leaves_no_trace_in_parquet(tmp_path: Path) -> None:
    count = 2 * ROW_GROUP_ROWS + 100
    whole = write(tmp_path / "a.parquet", rows(count))
    pieces = [rows(size, since=at) for at, size in
              [(0, 1), (1, ROW_GROUP_ROWS), (ROW_GROUP_ROWS + 1, ROW_GROUP_ROWS + 99)]]  # fmt: skip
    assert write(tmp_path / "b.parquet", *pieces).read_bytes() == whole.read_bytes()
    contents = pq.ParquetFile(whole).metadata
    groups = [contents.row_group(at) for at in range(contents.num_row_groups)]
    assert [group.num_rows for group in groups] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 100]
    with_statistics = {
        groups[0].column(at).path_in_schema
        for at in range(groups[0].num_columns)
        if groups[0].column(at).statistics is not None
    }
    assert with_statistics == {"src_ip", "first_ns"}


def test_csv(tmp_path: Path) -> None:
    path = write(tmp_path / "flows.csv", rows(2), rows(2, since=2))
    with path.open(newline="", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    assert list(found[0]) == SCHEMA.names
    for text, row in zip(found, rows(4).to_pylist(), strict=True):
        assert (text["network"], text["src_ip"]) == (NAME, row["src_ip"])
        assert int(text["first_ns"]) == row["first_ns"]
        assert float(text["duration_s"]) == row["duration_s"]
        known = not math.isnan(row["c2s_iat_mean_ms"])
        assert text["c2s_iat_mean_ms"] != "" if known else text["c2s_iat_mean_ms"] == ""
        assert [int(value) for value in text["seq_size_bytes"].split(" ")] == row["seq_size_bytes"]
        gaps = [np.float32(value) for value in text["seq_iat_us"].split(" ")]
        assert gaps == row["seq_iat_us"]


def test_json_lines(tmp_path: Path) -> None:
    # A slice: its texts begin in the middle of their buffer.
    path = write(tmp_path / "flows.jsonl", rows(0), rows(9).slice(3, 4), rows(1, since=7))
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    for line, row in zip(lines, rows(8).to_pylist()[3:], strict=True):
        found = json.loads(line)
        if math.isnan(row["c2s_iat_mean_ms"]):
            row["c2s_iat_mean_ms"] = None
        for name in ("c2s_iat_mean_ms", "seq_iat_us"):
            found[name] = as_float32(found[name])
        assert found == row


def as_float32(value: object) -> object:
    """JSON has the shortest text of a 32-bit number, Python's lists its 64-bit value."""
    if isinstance(value, list):
        return [as_float32(item) for item in value]
    return None if value is None else float(np.float32(value))  # type: ignore[arg-type]


def give_up(path: Path) -> None:
    with open_writer(path, SCHEMA) as writer:
        writer.write(rows(ROW_GROUP_ROWS))
        raise RuntimeError("enough")


@pytest.mark.parametrize("form", FORMATS)
def test_what_fails_leaves_the_old_file(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"flows.{form}"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="enough"):
        give_up(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", FORMATS)
def test_standard_output_is_the_same_file(tmp_path: Path, form: Format) -> None:
    write(tmp_path / "flows.parquet", rows(10))
    program = (
        "import sys, pyarrow.parquet as pq; from pathlib import Path;"
        "from flowmeter.output.files import open_writer;"
        "table = pq.read_table(sys.argv[1]);"
        "writer = open_writer(Path('-'), table.schema, form=sys.argv[2]);"
        "out = writer.__enter__();"
        "[out.write(batch) for batch in table.to_batches()];"
        "writer.__exit__(None, None, None)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "flows.parquet", form],
        capture_output=True,
        check=True,
    )
    assert said.stdout == write(tmp_path / f"again.{form}", rows(10)).read_bytes()


@pytest.mark.parametrize("name", ["flows.xlsx", "flows", "-"])
def test_a_name_that_tells_no_format(tmp_path: Path, name: str) -> None:
    path = Path(name) if name == "-" else tmp_path / name
    with pytest.raises(InputError, match=r"ends with \.parquet, \.csv, \.jsonl.*--format parquet"):
        write(path)
    if name != "-":
        assert write(path, rows(1), form="jsonl").read_bytes()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder.csv", "file/flows.csv"):
        with pytest.raises(InputError, match="expected a file that can be written"):
            write(tmp_path / name)


def test_an_unknown_compression(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lz4 or zstd or snappy or none, got 'rar'"):
        write(tmp_path / "flows.parquet", compression="rar")
