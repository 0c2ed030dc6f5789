"""Addresses and static routes of a lab, worked out from its topology. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from launcher.plan import LabPlan, Link, Node, Route, Segment
from topologies import Limits, Topology
from topologies.schema import nth_address

ROUTER_LIMITS = Limits(cpus=1.0, memory_mb=128, pids=64)


def lab_plan(topology: Topology) -> LabPlan:
    """Give every machine its links and routes. Routers take the first addresses of a network."""
    links = _links(topology)
    routers = {name: links[name] for name in topology.routers}
    nodes = [
        Node(
            name,
            links[name],
            tuple(_routes(topology, name, links, routers)),
            True,
            "base",
            ROUTER_LIMITS,
        )
        for name in topology.routers
    ]
    for group, host in topology.hosts.items():
        nodes += [
            Node(
                name,
                links[name],
                tuple(_routes(topology, name, links, routers)),
                forwards=False,
                image=host.image,
                limits=host.limits,
            )
            for name in topology.members(group)
        ]
    segments = tuple(
        Segment(name, network.subnet, network.mtu, network.impairments)
        for name, network in topology.networks.items()
    )
    return LabPlan(topology.name, segments, tuple(nodes), topology.capture_points)


def _machines(topology: Topology) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, router in topology.routers.items():
        yield name, router.networks
    for group, host in topology.hosts.items():
        for name in topology.members(group):
            yield name, host.networks


def _links(topology: Topology) -> dict[str, tuple[Link, ...]]:
    next_number = dict.fromkeys(topology.networks, 1)
    links: dict[str, tuple[Link, ...]] = {}
    for name, networks in _machines(topology):
        made = []
        for index, network in enumerate(networks):
            subnet = topology.networks[network].subnet
            address = nth_address(subnet, next_number[network])
            next_number[network] += 1
            made.append(Link(network, f"eth{index}", address, subnet.prefixlen))
        links[name] = tuple(made)
    return links


def _routes(
    topology: Topology,
    machine: str,
    links: Mapping[str, tuple[Link, ...]],
    routers: Mapping[str, tuple[Link, ...]],
) -> Iterator[Route]:
    """Shortest path by number of routers to every network the machine is not on."""
    own = {link.network for link in links[machine]}
    gateways = _first_hops(own, machine, routers)
    for network, gateway in gateways.items():
        yield Route(topology.networks[network].subnet, gateway)


def _first_hops(
    own: set[str], machine: str, routers: Mapping[str, tuple[Link, ...]]
) -> dict[str, IPv4Address]:
    """Breadth first over the networks; the gateway is the first router's address on ours."""
    gateways: dict[str, IPv4Address] = {}
    queue: deque[tuple[str, IPv4Address | None]] = deque((network, None) for network in sorted(own))
    seen = set(own)
    while queue:
        network, gateway = queue.popleft()
        for router, router_links in routers.items():
            entry = next((link for link in router_links if link.network == network), None)
            if entry is None or router == machine:
                continue
            for link in router_links:
                if link.network not in seen:
                    seen.add(link.network)
                    hop = gateway or entry.address
                    gateways[link.network] = hop
                    queue.append((link.network, hop))
    return gateways
