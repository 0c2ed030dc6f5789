"""The lab as the back ends see it: pure data, worked out from a topology and a seed."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from topologies import Impairments, Limits


@dataclass(frozen=True, slots=True)
class Link:
    """One interface of a node: its address on a network."""

    network: str
    interface: str  # eth0, eth1, … in the node
    address: IPv4Address
    prefix_length: int


@dataclass(frozen=True, slots=True)
class Route:
    """A static route of a node."""

    destination: IPv4Network
    gateway: IPv4Address


@dataclass(frozen=True, slots=True)
class Node:
    """A host or router to create."""

    name: str
    links: tuple[Link, ...]
    routes: tuple[Route, ...]
    forwards: bool
    image: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Segment:
    """A network to create."""

    name: str
    subnet: IPv4Network
    mtu: int
    impairments: Impairments


@dataclass(frozen=True, slots=True)
class LabPlan:
    """Everything a back end needs to build the lab."""

    name: str
    segments: tuple[Segment, ...]
    nodes: tuple[Node, ...]
    captures: tuple[str, ...]
    seed: int = 0  # of what chance does to packets

    def node(self, name: str) -> Node:
        """The node called ``name``."""
        return next(node for node in self.nodes if node.name == name)


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


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A lab and everything that will happen in it."""

    lab: LabPlan
    services: tuple[ServicePlan, ...]
    sessions: tuple[SessionPlan, ...]
