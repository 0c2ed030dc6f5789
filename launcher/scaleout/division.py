"""A lab's plan cut into one plan for each machine, and the long cables between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from launcher.plan import LabPlan, Link, Node, Segment
from launcher.scaleout.placement import Placement

_AT = "@"  # in no name of a topology
IDENTIFIERS = 1 << 24  # of VXLAN


@dataclass(frozen=True, slots=True)
class CableEnd:
    """Where a long cable comes out of a machine: into which bridge, and from whom."""

    segment: str
    identifier: int  # of the VXLAN
    remote: str  # underlay address of the other machine


@dataclass(frozen=True, slots=True)
class Part:
    """What one machine makes of a lab."""

    plan: LabPlan
    ends: tuple[CableEnd, ...]


def network_of(segment: str) -> str:
    """The network that a segment of a part is, or is an end of a long cable to."""
    return segment.partition(_AT)[0]


def divide(
    plan: LabPlan, placement: Placement, underlays: Mapping[str, str], *, first_identifier: int
) -> dict[str, Part]:
    """The part of every engine that has one.

    A node on another machine than one of its networks has a segment of its own there, named
    ``NETWORK@NODE``: a bridge with its cable and the long one, so that what it sends is impaired
    beside it and passes the network's own bridge, where it is captured.
    """
    parts: dict[str, Part] = {}
    ends: dict[str, list[CableEnd]] = {name: [] for name in placement.engines}
    for number, (network, node) in enumerate(placement.long_cables(plan)):
        home, away = placement.networks[network], placement.nodes[node]
        identifier = (first_identifier + number) % IDENTIFIERS
        ends[home].append(CableEnd(network, identifier, underlays[away]))
        ends[away].append(CableEnd(_far_segment(network, node), identifier, underlays[home]))
    for name in placement.engines:
        nodes = tuple(
            _here(x, name, placement) for x in plan.nodes if placement.nodes[x.name] == name
        )
        others = (node for node in plan.nodes if placement.nodes[node.name] != name)
        part = replace(
            plan,
            segments=tuple(_segments(plan, name, placement)),
            nodes=nodes,
            captures=(),
            elsewhere=tuple((n.name, a.ip) for n in others for x in n.links for a in x.addresses),
        )
        parts[name] = Part(part, tuple(ends[name]))
    return parts


def _far_segment(network: str, node: str) -> str:
    return f"{network}{_AT}{node}"


def _segments(plan: LabPlan, engine: str, placement: Placement) -> Iterator[Segment]:
    segments = {segment.name: segment for segment in plan.segments}
    yield from (s for s in plan.segments if placement.networks[s.name] == engine)
    for network, node in placement.long_cables(plan):
        if placement.nodes[node] == engine:
            yield replace(segments[network], name=_far_segment(network, node))


def _here(node: Node, engine: str, placement: Placement) -> Node:
    """A node with its cables to what is on its own machine."""

    def moved(link: Link) -> Link:
        if placement.networks[link.network] == engine:
            return link
        return replace(link, network=_far_segment(link.network, node.name))

    return replace(node, links=tuple(map(moved, node.links)))
