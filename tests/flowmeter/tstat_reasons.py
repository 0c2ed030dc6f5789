"""Why a flow differs from Tstat's log: the rules of Tstat's twin that make the difference."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from tests.flowmeter.tstat_logs import JOIN_MS, Entry
from tests.flowmeter.tstat_packets import packets
from tests.flowmeter.tstat_rules import ANY, REASONS, Rules
from tests.flowmeter.tstat_twin import twin, values

MOST_TOGETHER: Final = 3  # rules that make one difference
# Values of flows by end points and time of the first packet (ms).
Made = defaultdict[tuple[Any, ...], dict[float, dict[str, float]]]


@dataclass(frozen=True)
class Difference:
    """One column of one flow (``flow``: the flow itself) that is not the same in both."""

    entry: Entry
    column: str
    theirs: float
    ours: float

    def __str__(self) -> str:
        return f"{self.flow} {self.column} is {self.theirs:g} in the log, here {self.ours:g}"

    @property
    def flow(self) -> str:
        return "{}:{} > {}:{} at {:.6f} ms".format(*self.entry.ends, self.entry.first_ms)

    @property
    def bare(self) -> str:
        return self.column.removeprefix("c_").removeprefix("s_")


@dataclass
class Explained:
    """A capture as Tstat's twin sees it, with all of its rules and without some."""

    path: Path
    _made: dict[tuple[str, ...], Made] = field(default_factory=dict)

    def reason(self, difference: Difference) -> str:
        """The names of the rules that make it; '' if none do, or the twin is not as Tstat there."""
        if not close(self._value(difference, ()), difference.theirs):
            return ""
        may = [
            name
            for name, reason in REASONS.items()
            if reason.columns == ANY or difference.bare in reason.columns
        ]
        for count in range(1, MOST_TOGETHER + 1):
            for names in combinations(may, count):
                if close(self._value(difference, names), difference.ours):
                    return " + ".join(names)
        return ""

    def values(self, entry: Entry, without: tuple[str, ...] = ()) -> dict[str, float]:
        """The twin's values of a log's flow; nothing if it has no such flow."""
        if without not in self._made:
            rules = Rules().without(without)
            self._made[without] = made = Made(dict)
            for flow in twin(packets(self.path, rules), rules):
                first = flow.first
                source, target = (str(ip_address(end)) for end in (first.source, first.target))
                key = (first.tcp, source, first.sport, target, first.dport)
                made[key][flow.first_us / 1e3] = values(flow)
        by_time = self._made[without][entry.tcp, *entry.ends]
        first_ms = min(by_time, key=lambda time_ms: abs(time_ms - entry.first_ms), default=math.inf)
        return by_time[first_ms] if abs(first_ms - entry.first_ms) <= JOIN_MS else {}

    def _value(self, difference: Difference, without: tuple[str, ...]) -> float:
        found = self.values(difference.entry, without)
        if difference.column == "flow":
            return float(bool(found))
        return found.get(difference.column, math.nan)


def close(one: float, other: float) -> bool:
    """Equal but for the logs' six decimals and our single precision."""
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=2e-3)
