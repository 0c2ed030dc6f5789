"""What a lab is made of: networks, routers, hosts, services, activities, phases and capture points.

The models describe structure only. Which kinds of service and activity exist is known by the
launcher, whose plan checks them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from topologies.distributions import Exponential, Lognormal, TimeDistribution
from topologies.faults import fault
from topologies.impairments import Impairments

LAB_ADDRESSES: Final = IPv4Network(
    "198.18.0.0/15"
)  # RFC 2544: reserved for benchmarks, never routed

Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$", description="lower-case letters, digits, hyphens")
]


class Model(BaseModel):
    """Base of everything a user writes: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(Model):
    """One layer-2 segment: a bridge of the lab."""

    subnet: IPv4Network = Field(description="inside 198.18.0.0/15")
    mtu: Annotated[int, Field(ge=576, le=9_000)] = Field(1_500, description="bytes of IP")
    impairments: Impairments = Impairments()

    @field_validator("subnet")
    @classmethod
    def _inside_the_lab(cls, subnet: IPv4Network) -> IPv4Network:
        if not subnet.subnet_of(LAB_ADDRESSES) or not 16 <= subnet.prefixlen <= 29:
            raise fault(
                expected=f"a /16 to /29 network inside {LAB_ADDRESSES}",
                got=str(subnet),
                remedy="lab traffic uses only this range; choose for example 198.18.1.0/24",
            )
        return subnet


class Limits(Model):
    """What one host may use of the machine."""

    cpus: Annotated[float, Field(gt=0, le=256)] = Field(1.0, description="processor cores")
    memory_mb: Annotated[int, Field(ge=32, le=1_048_576)] = 512
    pids: Annotated[int, Field(ge=8, le=100_000)] = 256


class Router(Model):
    """A host that forwards between its networks."""

    networks: Annotated[tuple[Name, ...], Field(min_length=2)]


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


class Phase(Model):
    """A stretch of the experiment; ``intensity`` multiplies the rate at which sessions begin."""

    name: Name
    duration_s: Annotated[float, Field(gt=0, le=86_400)]
    intensity: Annotated[float, Field(ge=0, le=100)] = 1.0


DEFAULT_PHASES: Final = (
    Phase(name="warm-up", duration_s=5, intensity=0.5),
    Phase(name="steady", duration_s=30),
    Phase(name="peak", duration_s=10, intensity=2.0),
    Phase(name="quiet", duration_s=5, intensity=0.0),
)


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
    captures: tuple[Name, ...] | None = Field(
        None, description="networks that are captured; null is every network with a service on it"
    )

    def members(self, host: str) -> tuple[str, ...]:
        """Names of the machines that ``host`` stands for: itself, or NAME-1 … NAME-N."""
        count = self.hosts[host].count
        return (host,) if count == 1 else tuple(f"{host}-{i}" for i in range(1, count + 1))

    @property
    def capture_points(self) -> tuple[str, ...]:
        """Networks that are captured, the default spelled out."""
        if self.captures is not None:
            return self.captures
        serving = {n for s in self.services.values() for n in self.hosts[s.host].networks}
        return tuple(name for name in self.networks if name in serving) or tuple(self.networks)

    @property
    def duration_s(self) -> float:
        """Sum of the phases."""
        return sum(phase.duration_s for phase in self.phases)


def address_capacity(subnet: IPv4Network) -> int:
    """Hosts a subnet holds."""
    return subnet.num_addresses - 2


def nth_address(subnet: IPv4Network, n: int) -> IPv4Address:
    """Address number ``n`` (from 1) of a subnet."""
    return subnet.network_address + n
