"""Static routes of a lab's nodes, worked out from its topology. Pure.

Never a default route: a host's routes end at the edge of the lab's own ranges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from launcher.plan import Link, Route
from topologies import Topology
from topologies.addresses import VERSIONS, Address, Version, lab_range
from topologies.paths import first_crossings
from topologies.routers import Router


class Routes:
    """Works out routes; machines on the same networks have the same ones."""

    def __init__(self, topology: Topology, links: Mapping[str, tuple[Link, ...]]) -> None:
        self._topology, self._links = topology, links
        self._known: dict[tuple[str, ...], tuple[Route, ...]] = {}

    def of_router(self, name: str) -> tuple[Route, ...]:
        """Shortest path to every network it is not on; none where it learns them by routing."""
        router = self._topology.routers[name]
        if router.asn is not None:
            return ()
        others = {n: r for n, r in self._topology.routers.items() if n != name}
        return tuple(static_routes(self._topology, router.networks, self._links, others))

    def of_host(self, networks: tuple[str, ...]) -> tuple[Route, ...]:
        """Its exceptions, then the lab's whole range by the gateway to most of the networks."""
        if networks not in self._known:
            routes = static_routes(self._topology, networks, self._links, self._topology.routers)
            self._known[networks] = tuple(_summed_up(tuple(routes)))
        return self._known[networks]


def static_routes(
    topology: Topology,
    networks: Collection[str],
    links: Mapping[str, tuple[Link, ...]],
    routers: Mapping[str, Router],
) -> Iterator[Route]:
    """Shortest path by number of ``routers`` from ``networks`` to every other network."""
    for version in VERSIONS:
        crossings = first_crossings(topology, networks, version, routers=routers)
        for network, crossing in crossings.items():
            destination = topology.networks[network].range_of(version)
            if destination is not None:
                gateway = address_on(links[crossing.router], crossing.network, version)
                yield Route(destination, gateway)


def address_on(links: Collection[Link], network: str, version: Version) -> Address:
    """A machine's address of one IP version on a network that it and the version are on."""
    link = next(link for link in links if link.network == network)
    return next(address.ip for address in link.addresses if address.version == version)


def _summed_up(routes: Collection[Route]) -> Iterator[Route]:
    for version in VERSIONS:
        mine = [route for route in routes if route.destination.version == version]
        gateways = Counter(route.gateway for route in mine)
        if gateways:
            usual, _ = gateways.most_common(1)[0]
            yield from (route for route in mine if route.gateway != usual)
            yield Route(lab_range(version), usual)
