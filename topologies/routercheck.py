"""Checks of a topology's routers: NAT, firewalls and autonomous systems."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.addresses import VERSIONS
from topologies.paths import islands
from topologies.schema import Router, Topology

Fault = tuple[tuple[str | int, ...], str, str, str]
"""Location, what was expected, what was found, the remedy."""


def check_routers(topology: Topology) -> Iterator[Fault]:
    """Yield every fault of the routers of a topology whose networks exist."""
    for name, router in topology.routers.items():
        yield from _nat(topology, name, router)
        yield from _firewall(topology, name, router)
    yield from _systems(topology)


def _nat(topology: Topology, name: str, router: Router) -> Iterator[Fault]:
    if router.nat is None:
        return
    place: tuple[str | int, ...] = ("routers", name, "nat")
    outside = router.nat.outside
    if outside not in router.networks:
        yield (
            (*place, "outside"),
            "one of the router's networks",
            f"'{outside}'",
            f"use one of: {', '.join(router.networks)}",
        )
        return
    lacking = [n for n in router.networks if topology.networks[n].subnet is None]
    if outside in lacking or len(lacking) >= len(router.networks) - 1:
        yield (
            place,
            "IPv4 on its outside network and inside",
            f"none on {', '.join(repr(n) for n in lacking)}",
            "add subnet:, or remove nat: (only IPv4 is translated)",
        )
    if router.asn is not None:
        yield (
            (*place[:2], "asn"),
            "no asn on a router with nat",
            str(router.asn),
            "its inside is no part of the routing; put a router with the asn before it",
        )


def _firewall(topology: Topology, name: str, router: Router) -> Iterator[Fault]:
    for number, rule in enumerate(router.firewall.rules if router.firewall else ()):
        for key, names in (("from", rule.source), ("to", rule.target)):
            for index, end in enumerate(names):
                place = ("routers", name, "firewall", "rules", number, key, index)
                network, host = end in topology.networks, end in topology.hosts
                if network and host:
                    yield (
                        place,
                        "a name of a network or of a host",
                        f"'{end}', which is both",
                        "rename one of the two",
                    )
                elif not network and not host:
                    known = ", ".join((*topology.networks, *topology.hosts))
                    yield (
                        place,
                        "a network or host of this topology",
                        f"'{end}'",
                        f"use one of: {known}",
                    )


def _systems(topology: Topology) -> Iterator[Fault]:
    """Routes come from neighbours, so what nobody is a neighbour of would never get any."""
    speakers = {n: r for n, r in topology.routers.items() if r.asn is not None}
    for version in VERSIONS:
        having = {n: _with_version(topology, r, version) for n, r in speakers.items()}
        having = {name: networks for name, networks in having.items() if networks}
        for asn in sorted({r.asn for r in speakers.values() if r.asn is not None}):
            own = {name: n for name, n in having.items() if speakers[name].asn == asn}
            yield from _apart(own, f"another router of AS {asn}", version)
        yield from _apart(having, "another router that has an asn", version)


def _apart(routers: dict[str, set[str]], what: str, version: int) -> Iterator[Fault]:
    if not routers:
        return
    island = islands(set().union(*routers.values()), list(routers.values()))
    first = island[min(next(iter(routers.values())))]
    for name, networks in routers.items():
        if island[min(networks)] != first:
            yield (
                ("routers", name, "networks"),
                f"a network with IPv{version} shared with {what}",
                "none that leads to it",
                "connect them, or give it another asn",
            )
            return


def _with_version(topology: Topology, router: Router, version: int) -> set[str]:
    return {
        name
        for name in router.networks
        if any(subnet.version == version for subnet in topology.networks[name].subnets)
    }
