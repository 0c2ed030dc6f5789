"""Why a flow differs from Tstat's log: the rules of Tstat's twin that make the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from tests.flowmeter.tstat_flow import Flow
from tests.flowmeter.tstat_logs import JOIN_MS, Entry
from tests.flowmeter.tstat_packets import packets
from tests.flowmeter.tstat_rules import ANY, REASONS, Rules
from tests.flowmeter.tstat_twin import twin, values

MOST_TOGETHER: Final = 3  # rules that make one difference


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
    _made: dict[tuple[str, ...], dict[Any, list[Flow]]] = field(default_factory=dict)

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

    def _value(self, difference: Difference, without: tuple[str, ...]) -> float:
        flow = self._flow(difference.entry, without)
        if difference.column == "flow":
            return float(flow is not None)
        return math.nan if flow is None else float(values(flow)[difference.column])

    def _flow(self, entry: Entry, without: tuple[str, ...]) -> Flow | None:
        if without not in self._made:
            by_ends: dict[Any, list[Flow]] = {}
            rules = Rules().without(without)
            for flow in twin(packets(self.path, rules), rules):
                first = flow.first
                source, target = (str(ip_address(end)) for end in (first.source, first.target))
                key = (first.tcp, source, first.sport, target, first.dport)
                by_ends.setdefault(key, []).append(flow)
            self._made[without] = by_ends
        flows = self._made[without].get((entry.tcp, *entry.ends), [])
        far = {id(flow): abs(flow.first_us / 1e3 - entry.first_ms) for flow in flows}
        near = [flow for flow in flows if far[id(flow)] <= JOIN_MS]
        return min(near, key=lambda flow: far[id(flow)], default=None)


def close(one: float, other: float) -> bool:
    """Equal but for the logs' six decimals and our single precision."""
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=2e-3)
