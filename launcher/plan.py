"""The lab as the back ends see it: pure data, worked out from a topology and a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from typing import Any, Literal

from launcher.activities.kind import Need, Shared
from topologies import Impairments, Limits
from topologies.addresses import Address, Prefix, Version
from topologies.routers import Action

Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Link:
    """One interface of a node: its addresses on a network, IPv4 before IPv6."""

    network: str
    interface: str  # eth0, eth1, … in the node
    addresses: tuple[Interface, ...]

    @property
    def address(self) -> Address:
        """Its first address."""
        return self.addresses[0].ip


@dataclass(frozen=True, slots=True)
class Route:
    """A static route of a node."""

    destination: Prefix
    gateway: Address


@dataclass(frozen=True, slots=True)
class Translation:
    """Source NAT of a router: on ``network`` its ``address`` stands for the ranges inside."""

    router: str
    network: str
    interface: str
    address: IPv4Address
    inside: tuple[IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class FilterRule:
    """A firewall rule, its names looked up; no sources, targets or ports means any."""

    action: Action
    sources: tuple[Prefix, ...]
    targets: tuple[Prefix, ...]
    protocol: Literal["any", "tcp", "udp", "icmp"]
    ports: tuple[tuple[int, int], ...]  # first and last of each range


@dataclass(frozen=True, slots=True)
class Filter:
    """What a router forwards of new connections: the first rule that fits, else the default."""

    default: Action
    rules: tuple[FilterRule, ...]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A BGP session of a router; inside an autonomous system where the numbers are the same."""

    name: str
    asn: int
    address: Address
    own_address: Address


@dataclass(frozen=True, slots=True)
class Routing:
    """What a router's routing daemon speaks and has to learn."""

    asn: int
    router_id: IPv4Address
    neighbours: tuple[Neighbour, ...]
    ospf: tuple[tuple[str, bool], ...]  # interfaces, and whether a router of the system is there
    statics: tuple[Route, ...]  # to what is behind routers that speak no routing
    expected: tuple[tuple[str, Prefix], ...]  # networks, each with a range that must be reachable


@dataclass(frozen=True, slots=True)
class Node:
    """A host or router to create."""

    name: str
    links: tuple[Link, ...]
    routes: tuple[Route, ...]
    forwards: bool
    image: str
    limits: Limits
    nat: Translation | None = None
    filter: Filter | None = None
    routing: Routing | None = None

    @property
    def versions(self) -> frozenset[int]:
        """IP versions it has addresses of."""
        return frozenset(address.version for link in self.links for address in link.addresses)

    def address_of(self, version: Version) -> Address:
        """Its first address of an IP version that it has."""
        return next(a.ip for x in self.links for a in x.addresses if a.version == version)


@dataclass(frozen=True, slots=True)
class Segment:
    """A network to create; its ranges are IPv4 before IPv6."""

    name: str
    subnets: tuple[Prefix, ...]
    mtu: int
    impairments: Impairments

    @property
    def subnet(self) -> Prefix:
        """Its first range."""
        return self.subnets[0]


@dataclass(frozen=True, slots=True)
class LabPlan:
    """Everything a back end needs to build the lab."""

    name: str
    segments: tuple[Segment, ...]
    nodes: tuple[Node, ...]
    captures: tuple[str, ...]
    needs: tuple[Need, ...] = ()  # of all kinds that the topology names
    seed: int = 0  # of what chance does to packets
    elsewhere: tuple[tuple[str, Address], ...] = ()  # nodes on other machines, by name

    def node(self, name: str) -> Node:
        """The node called ``name``."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def opening(self) -> tuple[str, ...]:
        """Nodes whose programs open flows: hosts, and routers with a routing daemon."""
        return tuple(n.name for n in self.nodes if not n.forwards or n.routing is not None)

    @property
    def host_addresses(self) -> tuple[tuple[str, Address], ...]:
        """Name and address of every interface of every node, wherever it is."""
        here = tuple((n.name, a.ip) for n in self.nodes for x in n.links for a in x.addresses)
        return here + self.elsewhere

    @property
    def translations(self) -> tuple[Translation, ...]:
        """Every NAT of the lab."""
        return tuple(node.nat for node in self.nodes if node.nat is not None)

    def seen_as(self, name: str) -> tuple[Address, ...]:
        """Addresses that the node's flows have somewhere in the lab: its own, and of NATs."""
        own: list[Address] = [x.ip for link in self.node(name).links for x in link.addresses]
        added = True
        while added:
            added = False
            for nat in self.translations:
                inside = any(address in subnet for address in own for subnet in nat.inside)
                if inside and nat.address not in own:
                    own.append(nat.address)
                    added = True
        return tuple(own)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service listens."""

    service: str
    kind: str
    host: str
    address: str
    port: int | None  # None: no one port (what a scan is told)
    ports: tuple[int, ...]
    protocol: str  # tcp | udp | any


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A server program to start before the first activity."""

    id: str
    name: str
    kind: str
    host: str
    endpoint: Endpoint
    params: dict[str, Any]
    seed: int
    owner: int
    shared: dict[str, Shared] = field(default_factory=dict)  # with the sessions that talk to it


@dataclass(frozen=True, slots=True)
class InsidePlan:
    """What a session carries through its tunnel: another session, drawn like any other."""

    kind: str
    variant: str
    params: dict[str, Any]
    peers: tuple[Endpoint, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """One activity to start: a user's session."""

    id: str
    name: str
    kind: str
    variant: str
    params: dict[str, Any]
    user: str
    host: str
    peers: tuple[Endpoint, ...]
    start_s: float  # after the start of the first phase
    duration_s: float
    think_time: dict[str, Any]  # a TimeDistribution, dumped
    seed: int
    owner: int
    inside: InsidePlan | None = None
    phase: int | None = None  # with a target: begins when that phase's pace asks for it
    shared: str = ""  # with its service


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A lab and everything that will happen in it."""

    lab: LabPlan
    services: tuple[ServicePlan, ...]
    sessions: tuple[SessionPlan, ...]
