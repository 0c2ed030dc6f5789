"""What a router translates and refuses, worked out from its topology. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses, ip_network

from launcher.plan import Filter, FilterRule, Link, Translation
from launcher.routes import address_on
from topologies import Topology
from topologies.addresses import Prefix
from topologies.routers import Rule, port_range


def translation(topology: Topology, name: str, links: tuple[Link, ...]) -> Translation | None:
    """The source NAT of a router."""
    nat = topology.routers[name].nat
    if nat is None:
        return None
    ranges = [
        topology.networks[link.network].subnet for link in links if link.network != nat.outside
    ]
    address = address_on(links, nat.outside, 4)
    interface = next(link.interface for link in links if link.network == nat.outside)
    return Translation(
        name,
        nat.outside,
        interface,
        IPv4Address(str(address)),
        tuple(subnet for subnet in ranges if subnet is not None),
    )


def node_filter(
    topology: Topology, name: str, links: Mapping[str, tuple[Link, ...]]
) -> Filter | None:
    """The firewall of a router, with addresses for its names."""
    firewall = topology.routers[name].firewall
    if firewall is None:
        return None
    return Filter(firewall.default, tuple(_rule(topology, r, links) for r in firewall.rules))


def _rule(topology: Topology, rule: Rule, links: Mapping[str, tuple[Link, ...]]) -> FilterRule:
    return FilterRule(
        rule.action,
        _ranges(topology, rule.source, links),
        _ranges(topology, rule.target, links),
        rule.protocol,
        tuple(port_range(text) for text in rule.ports),
    )


def _ranges(
    topology: Topology, names: Iterable[str], links: Mapping[str, tuple[Link, ...]]
) -> tuple[Prefix, ...]:
    found: list[Prefix] = []
    for name in names:
        if name in topology.networks:
            found += topology.networks[name].subnets
        else:
            members = [link for machine in topology.members(name) for link in links[machine]]
            found += [ip_network(a.ip) for link in members for a in link.addresses]
    v4 = collapse_addresses(p for p in found if isinstance(p, IPv4Network))
    v6 = collapse_addresses(p for p in found if isinstance(p, IPv6Network))
    return (*v4, *v6)
