"""Which machine gets what: networks by hint or by few crossing cables, their hosts with them.

A network is one bridge on one machine, so that its capture sees every frame of it. A router between
networks on two machines is on one of them, and its cable to the other is a long one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Final

from launcher.plan import LabPlan, Node

ROOM: Final = 1.25  # times its even share, a machine may get of the hosts
Unit = tuple[str, ...]
"""Networks that stay together: what is behind a NAT, whose flows one machine has to see."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The engine of every network and of every node, by name."""

    networks: Mapping[str, str]
    nodes: Mapping[str, str]

    @property
    def engines(self) -> tuple[str, ...]:
        """Those that got something."""
        return tuple(dict.fromkeys((*self.networks.values(), *self.nodes.values())))

    def long_cables(self, plan: LabPlan) -> Iterator[tuple[str, str]]:
        """Network and node of every cable between two machines."""
        for node in plan.nodes:
            for link in node.links:
                if self.networks[link.network] != self.nodes[node.name]:
                    yield link.network, node.name


class TornError(ValueError):
    """Two networks that have to be together were to be apart."""

    def __init__(self, one: str, other: str) -> None:
        self.one, self.other = one, other
        super().__init__(f"'{one}' and '{other}' are on the two sides of no border")


def place(plan: LabPlan, engines: Sequence[str], hints: Mapping[str, str]) -> Placement:
    """Put every network of ``plan`` on one of ``engines``, those in ``hints`` where they say.

    The others so that few cables run between machines, and none has much more than its share of the
    hosts. The same input gives the same placement.

    Raises
    ------
    TornError
        Hints part networks that a NAT keeps together.
    """
    units = together(plan)
    fixed = {unit: engine for unit in units if (engine := _hinted(unit, hints))}
    search = _Search(plan, units, engines, fixed)
    networks = {network: engine for unit, engine in search.best().items() for network in unit}
    nodes = {node.name: _home(node, networks) for node in plan.nodes}
    return Placement(MappingProxyType(networks), MappingProxyType(nodes))


def together(plan: LabPlan) -> tuple[Unit, ...]:
    """The networks of a plan, those that have to be on one machine in one tuple."""
    units = {segment.name: {segment.name} for segment in plan.segments}
    for nat in plan.translations:
        ranges = {s.name: s.subnet for s in plan.segments}
        inside = [name for name, subnet in ranges.items() if subnet in nat.inside]
        # Of a NAT behind another NAT the outside, too: its flows are followed through both.
        if any(ranges[nat.network] in other.inside for other in plan.translations):
            inside.append(nat.network)
        joined = set[str]().union(*(units[name] for name in inside))
        for name in joined:
            units[name] = joined
    order = [segment.name for segment in plan.segments]
    return tuple(dict.fromkeys(tuple(n for n in order if n in units[name]) for name in order))


def _hinted(unit: Unit, hints: Mapping[str, str]) -> str:
    said = {network: hints[network] for network in unit if network in hints}
    for one, other in combinations(said, 2):
        if said[one] != said[other]:
            raise TornError(one, other)
    return next(iter(said.values()), "")


def _home(node: Node, networks: Mapping[str, str]) -> str:
    """Where most of its networks are; a router with NAT is with what is behind it."""
    links = [link.network for link in node.links]
    if node.nat is not None:
        links = [name for name in links if name != node.nat.network] or links
    # Of equals the first.
    return Counter(networks[name] for name in links).most_common(1)[0][0]


class _Search:
    """Puts the largest first where it fits best, then moves and swaps while that helps."""

    def __init__(
        self,
        plan: LabPlan,
        units: Sequence[Unit],
        engines: Sequence[str],
        fixed: Mapping[Unit, str],
    ) -> None:
        self._engines, self._units, self._fixed = engines, units, fixed
        single = Counter(node.links[0].network for node in plan.nodes if len(node.links) == 1)
        self._weight = {unit: 1 + sum(single[name] for name in unit) for unit in units}
        self._between = [
            tuple(link.network for link in node.links) for node in plan.nodes if len(node.links) > 1
        ]
        share = ROOM * sum(self._weight.values()) / len(engines)
        self._room = max(share, *self._weight.values())

    def best(self) -> Mapping[Unit, str]:
        """The engine of every unit."""
        chosen = dict(self._fixed)
        free = [unit for unit in self._units if unit not in self._fixed]
        for unit in sorted(free, key=lambda unit: -self._weight[unit]):
            options = [chosen | {unit: engine} for engine in self._engines]
            chosen = min(options, key=self._badness)
        while (better := min(self._near(chosen, free), key=self._badness, default=chosen)) and (
            self._badness(better) < self._badness(chosen)
        ):
            chosen = better
        return chosen

    def _near(self, chosen: dict[Unit, str], free: Sequence[Unit]) -> Iterator[dict[Unit, str]]:
        for unit in free:
            for engine in self._engines:
                yield chosen | {unit: engine}
        for one, other in combinations(free, 2):
            if chosen[one] != chosen[other]:
                yield chosen | {one: chosen[other], other: chosen[one]}

    def _badness(self, chosen: Mapping[Unit, str]) -> tuple[float, int, int]:
        """Hosts beyond the room of a machine, cables between machines, and unevenness."""
        loads: Counter[str] = Counter()
        for unit, engine in chosen.items():
            loads[engine] += self._weight[unit]
        where = {network: engine for unit, engine in chosen.items() for network in unit}
        crossing = 0
        for networks in self._between:
            known = [where[name] for name in networks if name in where]
            crossing += len(known) - max(Counter(known).values(), default=0)
        excess = sum(max(0.0, load - self._room) for load in loads.values())
        return excess, crossing, sum(load * load for load in loads.values())
