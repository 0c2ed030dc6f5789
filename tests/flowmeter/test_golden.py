"""The conformance suite: small captures made with scapy, each with its exact rows."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from flowmeter import MeterConfig, flow_schema, meter
from tests.flowmeter.conftest import Lab
from tests.flowmeter.golden_formats import pcap
from tests.flowmeter.golden_kit import GOLDEN, Golden
from tests.flowmeter.golden_rows import FOLDER, MODULES, computed, is_default, stored
from tests.flowmeter.test_reference import NAMES, rows_of, same, tiny

ENOUGH = 60
FORMATS = {"": b"\x4d\x3c\xb2\xa1", "gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def metered(lab: Lab, name: str, golden: Golden) -> tuple[list[dict[str, Any]], dict[str, int]]:
    files = golden.files or [("capture.pcap", pcap(golden.frames, link=golden.link))]
    paths = []
    for file, data in files:
        path = lab.folder / f"{name}-{file}"
        path.write_bytes(data)
        paths.append(path)
    result = meter(paths, config=MeterConfig(**golden.config))
    return rows_of(result.table), result.rejects


@pytest.mark.parametrize("name", GOLDEN)
def test_rows(lab: Lab, name: str) -> None:
    """Every column: as stored, and 0 or unknown where nothing is stored."""
    golden = GOLDEN[name]()
    rows, rejects = metered(lab, name, golden)
    expected = stored(name)
    wrong = []
    for number, (got, row) in enumerate(zip(rows, expected, strict=True)):
        for column, value in got.items():
            if column in NAMES:
                continue
            absent = [0] * len(value) if isinstance(value, list) else 0.0
            right = same(column, value, row.get(column, absent))
            right = right or (column not in row and is_default(value))
            if not right:
                wrong.append(f"row {number}: {column} is {value}, expected {row.get(column)}")
    assert not wrong, "\n".join(wrong)
    assert rejects == golden.rejects


@pytest.mark.parametrize("name", GOLDEN)
def test_stored_rows_agree_with_what_was_worked_out_by_hand(name: str) -> None:
    golden, rows = GOLDEN[name](), stored(name)
    assert len(rows) == len(golden.facts)
    for row, facts in zip(rows, golden.facts, strict=True):
        for column, value in facts.items():
            got = row.get(column, [0] * len(value) if isinstance(value, list) else 0)
            if isinstance(value, float):
                assert math.isclose(got, value, rel_tol=1e-12), column
            else:
                assert got == value, column


@pytest.mark.parametrize("name", GOLDEN)
def test_stored_rows_are_those_of_the_reference(name: str) -> None:
    """They change with the reference only together, and then a person looks."""
    golden = GOLDEN[name]()
    rows, rejected = computed(golden)
    for got, row in zip(rows, stored(name), strict=True):
        assert got.keys() == row.keys()
        assert all(same(column, value, row[column]) or tiny(column, row)
                   for column, value in got.items())  # fmt: skip
    # What lies in no record cannot be rejected by a meter of frames.
    assert rejected == sum(golden.rejects.values()) - golden.rejects.get("truncated_tail", 0)


def test_the_suite_is_complete() -> None:
    assert len(GOLDEN) >= ENOUGH
    assert {path.stem for path in FOLDER.glob("*.json")} == GOLDEN.keys()
    assert all(any(b.__module__ == module.__name__ for b in GOLDEN.values()) for module in MODULES)
    known = {*flow_schema().names, "origin_first_ns"}
    assert all(row.keys() <= known for name in GOLDEN for row in stored(name))


def test_the_formats_are_what_they_claim() -> None:
    """A golden of a format that was not written in it would prove nothing."""
    for name, magic in FORMATS.items():
        files = GOLDEN[f"{name}_pcap" if name else "pcap_nanoseconds"]().files
        assert files[0][1].startswith(magic)
    ((_, data),) = GOLDEN["pcap_microseconds_big_endian"]().files
    assert struct.unpack(">I", data[:4]) == (0xA1B2C3D4,)
