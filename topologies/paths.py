"""Which networks packets can get to, across which routers. Pure.

A router forwards between any two of its networks that have the IP version; one with NAT lets
nothing new in from its outside network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from topologies.addresses import Version
from topologies.schema import Router, Topology


class Crossing(NamedTuple):
    """A step from one network to another: the first step's router, and the network it starts on."""

    router: str
    network: str


def first_crossings(
    topology: Topology,
    start: Collection[str],
    version: Version,
    *,
    routers: Mapping[str, Router] | None = None,
) -> dict[str, Crossing]:
    """Shortest way, by number of routers, from the networks ``start`` to each other network.

    The first crossing of each way is what a machine on ``start`` has to know. Without ``routers``
    all of the topology take part.
    """
    taking_part = topology.routers if routers is None else routers
    joined = {name: network.range_of(version) for name, network in topology.networks.items()}
    begin = sorted(name for name in start if joined.get(name) is not None)
    queue: deque[tuple[str, Crossing | None]] = deque((name, None) for name in begin)
    found: dict[str, Crossing] = {}
    seen = set(begin)
    while queue:
        network, first = queue.popleft()
        for name, router in taking_part.items():
            for beyond in onward(router, network, version):
                if beyond not in seen and joined.get(beyond) is not None:
                    seen.add(beyond)
                    found[beyond] = first or Crossing(name, network)
                    queue.append((beyond, found[beyond]))
    return found


def onward(router: Router, network: str, version: Version) -> Iterator[str]:
    """Networks that a router forwards to from ``network``, whether or not somebody is there."""
    if network not in router.networks:
        return
    # IPv6 is not translated: the networks inside have routes from outside, though closed to
    # whatever did not begin inside.
    hidden = router.nat is not None and network == router.nat.outside and version == 4
    if not hidden:
        yield from (name for name in router.networks if name != network)


def can_open(topology: Topology, source: str, version: Version) -> set[str]:
    """Networks to which a machine on the network ``source`` can open connections."""
    seen, queue = {source}, deque([source])
    while queue:
        network = queue.popleft()
        for router in topology.routers.values():
            closed = router.nat is not None and network == router.nat.outside
            for beyond in () if closed else onward(router, network, version):
                if beyond not in seen and topology.networks[beyond].range_of(version) is not None:
                    seen.add(beyond)
                    queue.append(beyond)
    return seen


def islands(networks: Collection[str], groups: Collection[Collection[str]]) -> dict[str, str]:
    """For each network, the name of the group of networks that ``groups`` join it to."""
    island = {name: name for name in networks}
    for group in groups:
        joined = {island[name] for name in group if name in island}
        if joined:
            one = min(joined)
            island = {name: one if mine in joined else mine for name, mine in island.items()}
    return island
