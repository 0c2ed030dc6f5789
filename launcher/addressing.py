"""Addresses of a lab, and what each of its nodes is, worked out from its topology. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Final

from launcher.filters import node_filter, translation
from launcher.plan import Interface, LabPlan, Link, Node, Segment
from launcher.routes import Routes
from launcher.routing import node_routing
from topologies import Limits, Topology
from topologies.addresses import nth_address

ROUTER_LIMITS: Final = Limits(cpus=1.0, memory_mb=128, pids=64)


def lab_plan(topology: Topology) -> LabPlan:
    """Give every machine its links and routes. Routers take the first addresses of a network."""
    links = _links(topology)
    routes = Routes(topology, links)
    nodes = [
        Node(
            name,
            links[name],
            routes.of_router(name),
            True,
            "base",
            ROUTER_LIMITS,
            translation(topology, name, links[name]),
            node_filter(topology, name, links),
            node_routing(topology, name, links),
        )
        for name in topology.routers
    ]
    for group, host in topology.hosts.items():
        nodes += [
            Node(
                name,
                links[name],
                routes.of_host(host.networks),
                forwards=False,
                image=host.image,
                limits=host.limits,
            )
            for name in topology.members(group)
        ]
    segments = tuple(
        Segment(name, network.subnets, network.mtu, network.impairments)
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
            number = next_number[network]
            next_number[network] += 1
            made.append(Link(network, f"eth{index}", _addresses(topology, network, number)))
        links[name] = tuple(made)
    return links


def _addresses(topology: Topology, network: str, number: int) -> tuple[Interface, ...]:
    return tuple(
        ip_interface((nth_address(subnet, number), subnet.prefixlen))
        for subnet in topology.networks[network].subnets
    )
