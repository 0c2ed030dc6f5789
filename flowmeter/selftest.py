"""The conformance suite, as every installation has it: small captures and their exact rows.

A file of ``golden/`` is one capture, or several files of one: how it is metered, the rows that come
out (columns that are 0 or unknown are left out), and how many packets are in none, by reason. The
tests make them from packets and facts that a person worked out.
"""

from __future__ import annotations

import json
import math
import tempfile
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowmeter.config import MeterConfig
from flowmeter.metering import MeterResult, meter

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER: Final = Path(__file__).parent / "golden"
# Those of a row that are not computed from its packets.
NAMES: Final = frozenset({"flow_id", "run_id", "network", "origin_id"})
# Relative: single precision; and what is left of it after a third or fourth power of differences.
PRECISION: Final = 1e-5
MOMENT_PRECISION: Final = 1e-3
# A spread this small beside the values themselves is rounding, and its shape is noise.
TINY: Final = 1e-3
ORDER: Final = ("first_ns", "src_ip", "src_port", "dst_ip", "dst_port", "protocol", "last_ns")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One capture of the suite and what is in it."""

    config: Mapping[str, Any]
    files: Mapping[str, bytes]
    rows: Sequence[Row]
    rejects: Mapping[str, int]

    def metered(self) -> MeterResult:
        """What the flow meter makes of it here."""
        with tempfile.TemporaryDirectory(prefix="gsta-") as folder:
            paths = [Path(folder) / name for name in self.files]
            for path, data in zip(paths, self.files.values(), strict=True):
                path.write_bytes(data)
            return meter(paths, config=MeterConfig(**self.config))


def golden_names() -> list[str]:
    """Every capture of the suite."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def golden_case(name: str) -> GoldenCase:
    """One of them."""
    told = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    files = {name: b64decode(text) for name, text in told["files"].items()}
    return GoldenCase(told["config"], files, told["rows"], told["rejects"])


@cache
def differences() -> Mapping[str, str]:
    """What is wrong with the captures whose rows are not the expected ones, by name.

    It is found out once: an installation does not change while it runs.
    """
    found = {name: difference(golden_case(name)) for name in golden_names()}
    return {name: said for name, said in found.items() if said}


def difference(case: GoldenCase) -> str:
    """The first thing in which the flow meter's rows of a capture are not as expected."""
    result = case.metered()
    if result.rejects != case.rejects:
        return f"rejects are {result.rejects}, expected {dict(case.rejects)}"
    rows = rows_of(result.table)
    if len(rows) != len(case.rows):
        return f"{len(rows)} rows, expected {len(case.rows)}"
    for number, (got, expected) in enumerate(zip(rows, case.rows, strict=True)):
        for column, value in got.items():
            if column in NAMES:
                continue
            wanted = expected.get(column, [0] * len(value) if isinstance(value, list) else 0.0)
            right = same(column, value, wanted) or (column not in expected and is_default(value))
            if not right:
                return f"row {number}: {column} is {value}, expected {expected.get(column)}"
    return ""


def rows_of(table: pa.Table) -> list[Row]:
    """Rows by first packet, then key, with ``origin_first_ns`` for ``origin_id``."""
    rows: list[Row] = table.to_pylist()
    began = {row["flow_id"]: row["first_ns"] for row in rows}
    for row in rows:
        row["origin_first_ns"] = began.get(row["origin_id"])
    return ordered(rows)


def ordered(rows: list[Row]) -> list[Row]:
    """By first packet, then key, then segment."""
    return sorted(rows, key=lambda row: tuple(row[name] for name in ORDER))


def is_default(value: object) -> bool:
    """Whether a value is one that is not stored: 0, unknown, or a list of zeros."""
    if isinstance(value, list):
        return not any(value)
    return value == 0 or (isinstance(value, float) and math.isnan(value))


def same(name: str, got: Any, expected: Any) -> bool:
    """Whether a column's value is the expected one, to the precision that it is stored with."""
    if isinstance(got, list):
        return len(got) == len(expected) and all(
            same(name, *pair) for pair in zip(got, expected, strict=True)
        )
    if isinstance(got, int):
        return bool(
            got == (0 if isinstance(expected, float) and math.isnan(expected) else expected)
        )
    if isinstance(got, float) and math.isnan(got):
        return math.isnan(expected)
    if not isinstance(got, float):
        return bool(got == expected)
    precision = MOMENT_PRECISION if name.endswith(("skewness", "kurtosis")) else PRECISION
    return math.isclose(got, expected, rel_tol=precision, abs_tol=precision)


def tiny(name: str, row: Row) -> bool:
    """Whether a moment is that of values which hardly differ."""
    head, _, kind = name.rpartition("_")
    if kind not in ("skewness", "kurtosis"):
        return False
    unit = "bytes" if head.endswith("size") else "ms"
    middle, spread = row[f"{head}_mean_{unit}"], row[f"{head}_std_{unit}"]
    return bool(spread <= TINY * middle)
