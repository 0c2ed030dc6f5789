"""Beside other meters on real captures: Tstat's logs, NFStream and tcptrace.

Beside Tstat all flows count. Each value that differs must have a reason that holds for that flow:
a rule of Tstat's without which its twin gives our value, and with which it gives Tstat's.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from flowmeter import MeterConfig, meter
from tests.flowmeter import nfstream_flows, tcptrace_flows, tstat_logs
from tests.flowmeter.tstat_reasons import Difference, Explained, close
from tests.flowmeter.tstat_rules import REASONS
from topologies.errors import CaptureError

PAGE: Final = Path(__file__).parents[2] / "docs" / "conformance.md"
STRICT, LOOSE = 0.999, 0.99
BARS: Final = {
    **dict.fromkeys(("flow", "duration_s", *tstat_logs.COUNTS.values()), STRICT),
    **dict.fromkeys((*tstat_logs.LOSS.values(), *tstat_logs.RTT.values()), LOOSE),
}
OTHERS: Final = 0.95  # columns without a bar of their own


@dataclass(frozen=True)
class Unequal:
    """A value that differs: where, in which column (ours), and by which rules ('': unknown)."""

    capture: str
    flow: str
    column: str
    reason: str
    detail: str


@dataclass
class Agreement:
    """How often each column was equal, and each time it was not."""

    compared: Counter[str] = field(default_factory=Counter)
    unequal: list[Unequal] = field(default_factory=list)

    def equal(self, column: str) -> float:
        """The share of flows (of each side) in which the column is the same."""
        return 1 - sum(item.column == column for item in self.unequal) / self.compared[column]

    def due_to(self, reason: str) -> tuple[int, int]:
        """Flows and values that differ by a reason, alone or with others."""
        items = [item for item in self.unequal if reason in item.reason.split(" + ")]
        return len({(item.capture, item.flow) for item in items}), len(items)


def documented() -> dict[str, tuple[int, int]]:
    """Of each reason, how many flows and values docs/conformance.md names."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    return {name: (int(flows), int(values)) for name, flows, values in rows}


def test_every_reason_is_documented() -> None:
    assert documented().keys() == REASONS.keys()


def bare(column: str) -> str:
    """A column's name without its direction."""
    return column.removeprefix("c2s_").removeprefix("s2c_")


def beside_tstat() -> Agreement:
    """Every flow of every log beside ours."""
    result = Agreement()
    config = MeterConfig(semantics="tstat", corrupt="keep")
    for path, entries in tstat_logs.captures():
        try:
            rows = meter(path, config=config).table.to_pylist()
        except CaptureError:
            continue
        differences: list[tuple[str, Difference]] = []
        for entry, row in tstat_logs.joined(entries, rows):
            result.compared["flow"] += 1
            if row is None:
                differences.append(("flow", Difference(entry, "flow", 1.0, 0.0)))
                continue
            for name, ours, theirs in entry.columns():
                result.compared[bare(ours)] += 1
                mine = tstat_logs.as_tstat(ours, row)
                if not tstat_logs.agree(ours, theirs, mine):
                    differences.append((bare(ours), Difference(entry, name, theirs, mine)))
        explained = Explained(path)
        for column, difference in differences:
            told = difference.flow, column, explained.reason(difference), str(difference)
            result.unequal.append(Unequal(path.name, *told))
    return result


@pytest.mark.slow
@pytest.mark.skipif(not any(tstat_logs.captures()), reason="needs Tstat's logs below GSTA_DATA")
def test_tstat() -> None:
    """The bars hold over all flows, and there is no difference without a reason."""
    result = beside_tstat()
    assert not [item for item in result.unequal if not item.reason]
    for column in result.compared:
        assert result.equal(column) >= BARS.get(column, OTHERS), column
    assert documented() == {name: result.due_to(name) for name in REASONS}


@pytest.mark.slow
@pytest.mark.skipif(not any(tstat_logs.captures()), reason="needs Tstat's logs below GSTA_DATA")
def test_twin_is_tstat() -> None:
    """The twin gives every value of every log."""
    wrong = []
    for path, entries in tstat_logs.captures():
        explained = Explained(path)
        for entry in entries:
            made = explained.values(entry)
            for name, _, theirs in entry.columns():
                if not close(made.get(name, math.nan), theirs):
                    wrong.append(f"{path.name} {entry.ends} {name}: {theirs}, not {made.get(name)}")
    assert not wrong


@pytest.mark.slow
@pytest.mark.skipif(not tstat_logs.folder().exists(), reason="needs real captures below GSTA_DATA")
@pytest.mark.skipif(
    "GSTA_NFSTREAM" not in os.environ, reason="GSTA_NFSTREAM: a Python with nfstream"
)
def test_nfstream() -> None:
    """Packets, bytes and durations of UDP and TCP flows, with NFStream's timeouts."""
    compared = equal = 0
    for path in sorted((tstat_logs.folder() / "captures" / "nDPI").glob("*.pcap"))[::10]:
        theirs = nfstream_flows.flows(os.environ["GSTA_NFSTREAM"], path)
        config = MeterConfig(tcp_idle_s=120, udp_idle_s=120, active_s=1800, corrupt="keep")
        ours = nfstream_flows.of_rows(meter(path, config=config).table.to_pylist())
        compared += len(theirs)
        equal += sum(ours.get(key) == values for key, values in theirs.items())
    assert compared
    assert equal / compared >= LOOSE


@pytest.mark.slow
@pytest.mark.skipif(not tstat_logs.folder().exists(), reason="needs real captures below GSTA_DATA")
@pytest.mark.skipif(not tcptrace_flows.installed(), reason="needs tcptrace")
def test_tcptrace() -> None:
    """Retransmissions and disorder of complete connections."""
    compared: Counter[str] = Counter()
    equal: Counter[str] = Counter()
    for path in sorted((tstat_logs.folder() / "captures" / "nDPI").glob("*.pcap"))[::10]:
        try:
            theirs = tcptrace_flows.flows(path)
        except subprocess.SubprocessError:
            continue
        rows = meter(path, config=MeterConfig(corrupt="keep")).table.to_pylist()
        for entry, row in tcptrace_flows.joined(theirs, rows):
            for column, value in entry.items():
                if column in row:
                    compared[column] += 1
                    equal[column] += row[column] == value
    assert compared
    assert all(equal[column] / compared[column] >= LOOSE for column in compared), (compared, equal)
