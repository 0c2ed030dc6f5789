"""What a lab is made of: networks, routers, hosts, services, activities, phases and capture points.

The models describe structure only. Which kinds of service and activity exist is known by the
launcher, whose plan checks them.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator

from topologies.addresses import Prefix, Version, check_subnet, check_subnet6
from topologies.distributions import Exponential, Lognormal, TimeDistribution
from topologies.faults import fault
from topologies.impairments import Impairments
from topologies.model import Model, Name
from topologies.phases import DEFAULT_PHASES, Phase
from topologies.routers import Router

__all__ = [
    "Activity",
    "Host",
    "Impairments",
    "Limits",
    "Model",
    "Name",
    "Network",
    "Phase",
    "Router",
    "Service",
    "Topology",
]

IPV6_MTU: Final = 1_280  # RFC 8200: a link with less carries no IPv6


class Network(Model):
    """One layer-2 segment: a bridge of the lab, with IPv4, IPv6 or both."""

    subnet: Annotated[IPv4Network, AfterValidator(check_subnet)] | None = Field(
        None, description="inside 198.18.0.0/15; null is no IPv4"
    )
    subnet6: Annotated[IPv6Network, AfterValidator(check_subnet6)] | None = Field(
        None, description="a /64 inside 2001:2::/48; null is no IPv6"
    )
    mtu: Annotated[int, Field(ge=576, le=9_000)] = Field(1_500, description="bytes of IP")
    impairments: Impairments = Impairments()

    @model_validator(mode="after")
    def _addresses_fit(self) -> Self:
        if not self.subnets:
            raise fault(
                expected="a subnet, a subnet6 or both",
                got="neither",
                remedy="add for example subnet: 198.18.1.0/24",
            )
        if self.subnet6 is not None and self.mtu < IPV6_MTU:
            raise fault(
                expected=f"an mtu of at least {IPV6_MTU} on a network with IPv6",
                got=str(self.mtu),
                remedy="raise mtu:, or remove subnet6:",
            )
        return self

    @property
    def subnets(self) -> tuple[Prefix, ...]:
        """Its ranges, IPv4 before IPv6."""
        return tuple(subnet for subnet in (self.subnet, self.subnet6) if subnet is not None)

    def range_of(self, version: Version) -> Prefix | None:
        """Its range of one IP version."""
        return self.subnet if version == 4 else self.subnet6


class Limits(Model):
    """What one host may use of the machine."""

    cpus: Annotated[float, Field(gt=0, le=256)] = Field(1.0, description="processor cores")
    memory_mb: Annotated[int, Field(ge=32, le=1_048_576)] = 512
    pids: Annotated[int, Field(ge=8, le=100_000)] = 256


class Host(Model):
    """A machine of the lab, or ``count`` alike called NAME-1 … NAME-N."""

    networks: Annotated[tuple[Name, ...], Field(min_length=1)]
    count: Annotated[int, Field(ge=1, le=250)] = 1
    image: Name = Field("base", description="role image; used by the docker back end")
    limits: Limits = Limits()


class Service(Model):
    """A server program on a host."""

    kind: Name
    host: Name
    port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None, description="null is the usual port of the kind"
    )
    ip_version: Version | None = Field(
        None, description="where it listens; null is IPv4, on a host without it IPv6"
    )
    params: dict[str, Any] = Field(default_factory=dict)


class Inside(Model):
    """What goes on inside a tunnel."""

    kind: Name = Field(description="an activity over TCP with a service of its own")
    services: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="what it talks to from the far end; each session takes one of them"
    )
    params: dict[str, Any] = Field(default_factory=dict)


class Activity(Model):
    """What users on client hosts do, again and again, for as long as the phases last."""

    kind: Name
    hosts: Annotated[tuple[Name, ...], Field(min_length=1)]
    services: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="what it talks to; each session takes one of them"
    )
    users: Annotated[int, Field(ge=1, le=1_000)] = Field(1, description="concurrent users per host")
    arrival: TimeDistribution = Field(
        Exponential(mean_s=10.0), description="gap between the sessions of one user"
    )
    think_time: TimeDistribution = Field(
        Lognormal(median_s=1.0, maximum_s=10.0), description="pause between actions in a session"
    )
    session_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        20.0, description="a session ends by itself before this"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="of the kind")
    inside: Inside | None = Field(None, description="of a kind that tunnels: what it carries")


CapturePoint = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}(:(eth|port)[0-9]{1,2})?$")]


class Topology(Model):
    """A whole lab and what happens in it."""

    name: Name
    description: str = ""
    networks: Annotated[dict[Name, Network], Field(min_length=1)]
    routers: dict[Name, Router] = Field(default_factory=dict)
    hosts: Annotated[dict[Name, Host], Field(min_length=1)]
    services: dict[Name, Service] = Field(default_factory=dict)
    activities: dict[Name, Activity] = Field(default_factory=dict)
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = DEFAULT_PHASES
    captures: tuple[CapturePoint, ...] | None = Field(
        None,
        description="networks that are captured, and ends of cables: client:eth0 in the host, "
        "client:port0 at its network; null is every network with a service on it",
    )

    def members(self, host: str) -> tuple[str, ...]:
        """Names of the machines that ``host`` stands for: itself, or NAME-1 … NAME-N."""
        count = self.hosts[host].count
        return (host,) if count == 1 else tuple(f"{host}-{i}" for i in range(1, count + 1))

    def versions(self, host: str) -> tuple[Version, ...]:
        """IP versions that a host has an address of, IPv4 before IPv6."""
        ranges = [s for name in self.hosts[host].networks for s in self.networks[name].subnets]
        return tuple(sorted({subnet.version for subnet in ranges}))

    def listens_on(self, service: str) -> Version:
        """IP version of a service's address."""
        wanted = self.services[service].ip_version
        return wanted or self.versions(self.services[service].host)[0]

    @property
    def capture_points(self) -> tuple[str, ...]:
        """Where packets are captured, the default spelled out."""
        if self.captures is not None:
            return self.captures
        serving = {n for s in self.services.values() for n in self.hosts[s.host].networks}
        return tuple(name for name in self.networks if name in serving) or tuple(self.networks)

    @property
    def duration_s(self) -> float:
        """Sum of the phases."""
        return sum(phase.duration_s for phase in self.phases)
