"""Beside other meters on real captures: Tstat's logs, NFStream and tcptrace.

Every capture in which a column differs is in a list of known differences, with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from flowmeter import MeterConfig, meter
from tests.flowmeter import nfstream_flows, tcptrace_flows, tstat_logs
from topologies.errors import CaptureError

KNOWN: Final = Path(__file__).with_name("tstat_known.json")
STRICT, LOOSE = 0.999, 0.99
BARS: Final = {
    **dict.fromkeys(("duration_s", *tstat_logs.COUNTS.values()), STRICT),
    **dict.fromkeys((*tstat_logs.LOSS.values(), *tstat_logs.RTT.values()), LOOSE),
}


@dataclass
class Agreement:
    """How often each column was equal, and in which captures it was not."""

    compared: Counter[str] = field(default_factory=Counter)
    equal: Counter[str] = field(default_factory=Counter)
    different: dict[str, set[str]] = field(default_factory=dict)

    def add(self, capture: str, column: str, *, same: bool) -> None:
        self.compared[column] += 1
        self.equal[column] += same
        if not same:
            self.different.setdefault(capture, set()).add(column)

    def below(self, known: set[str]) -> Iterator[str]:
        """Columns that agree too seldom, captures with a known difference left out."""
        for capture, columns in self.different.items():
            if capture not in known and columns & BARS.keys() | columns & {"flow"}:
                yield f"{capture}: {sorted(columns)}"


def known() -> set[str]:
    return {name for entry in json.loads(KNOWN.read_text()) for name in entry["captures"]}


def bare(column: str) -> str:
    """A column's name without its direction."""
    return column.removeprefix("c2s_").removeprefix("s2c_")


def beside_tstat() -> Agreement:
    result = Agreement()
    config = MeterConfig(semantics="tstat", corrupt="keep")
    for path, entries in tstat_logs.captures():
        try:
            rows = meter(path, config=config).table.to_pylist()
        except CaptureError:
            continue
        for entry, row in tstat_logs.joined(entries, rows):
            result.add(path.name, "flow", same=row is not None)
            for _, ours, theirs in entry.columns() if row is not None else ():
                same = tstat_logs.agree(ours, theirs, row[ours])
                result.add(path.name, bare(ours), same=same)
    return result


@pytest.mark.slow
@pytest.mark.skipif(not any(tstat_logs.captures()), reason="needs Tstat's logs below GSTA_DATA")
def test_tstat() -> None:
    """The bars hold over all flows but those whose difference is known and explained."""
    result = beside_tstat()
    assert not list(result.below(known()))
    for column, bar in BARS.items():
        unexplained = sum(
            column in columns for name, columns in result.different.items() if name not in known()
        )
        assert 1 - unexplained / result.compared[column] >= bar, column
        # Those that are known must not be many, either.
        assert result.equal[column] / result.compared[column] >= LOOSE - 0.08, column
    stale = known() - result.different.keys()
    assert not stale, f"no longer different: {stale}"


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
