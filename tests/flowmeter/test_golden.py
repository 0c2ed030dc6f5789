"""The conformance suite: small captures made with scapy, each with its exact rows."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import pytest

from flowmeter import flow_schema
from flowmeter.selftest import FOLDER, difference, golden_case, golden_names, same, tiny
from tests.flowmeter.golden_kit import GOLDEN
from tests.flowmeter.golden_rows import MODULES, computed, files_of, stored

ENOUGH = 60
FORMATS = {"": b"\x4d\x3c\xb2\xa1", "gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


@pytest.mark.parametrize("name", GOLDEN)
def test_rows(name: str) -> None:
    """Every column: as stored, and 0 or unknown where nothing is stored."""
    assert not difference(golden_case(name))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_package_has_the_capture(name: str) -> None:
    golden, case = GOLDEN[name](), golden_case(name)
    assert case.files == files_of(golden)
    assert (case.config, case.rejects) == (golden.config, golden.rejects)


def test_a_wrong_row_is_told() -> None:
    case = golden_case("closed_by_fins")
    more = case.rows[0] | {"c2s_packets": 99}
    wrong = difference(replace(case, rows=[more, *case.rows[1:]]))
    assert wrong == "row 0: c2s_packets is 4, expected 99"
    assert difference(replace(case, rows=[])) == "2 rows, expected 0"
    assert "rejects" in difference(replace(case, rejects={"arp": 1}))
    assert golden_names() == sorted(GOLDEN)


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
