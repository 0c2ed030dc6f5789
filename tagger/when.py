"""What a labelling rule may ask of an activity, of the flow, of logs and of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from launcher.activities.kind import Origin
from topologies.faults import fault
from topologies.schema import Model

Items = TypeVar("Items", bound=Sequence[object])
Port = Annotated[int, Field(ge=1, le=65_535)]
Transport = Literal["tcp", "udp", "icmp"]
Child = Literal["icmp", "dns", "ocsp", "ntp", "relayed"]
Scalar = str | bool | int | float

PROTOCOLS: Final[Mapping[Transport, tuple[int, ...]]] = {"tcp": (6,), "udp": (17,), "icmp": (1, 58)}


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def some(values: Items) -> Items:
    """Refuse an empty list, in words."""
    # Not `min_length`: pydantic then also calls a list too short of which an item is wrong.
    if not values:
        raise fault(expected="at least one", got="an empty list", remedy="add to it")
    return values


def _prefix(value: object) -> object:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise fault(
            expected="an address or a prefix",
            got=f"'{value}'",
            remedy="write for example 192.0.2.0/24 or 2001:db8::/32",
        ) from error


Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_listed),
    AfterValidator(some),
]
Origins = Annotated[tuple[Origin, ...], BeforeValidator(_listed), AfterValidator(some)]
Ports = Annotated[tuple[Port, ...], BeforeValidator(_listed), AfterValidator(some)]
Transports = Annotated[tuple[Transport, ...], BeforeValidator(_listed), AfterValidator(some)]
Children = Annotated[tuple[Child, ...], BeforeValidator(_listed), AfterValidator(some)]
Prefixes = Annotated[
    tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_prefix)], ...],
    BeforeValidator(_listed),
    AfterValidator(some),
]
Scalars = Annotated[tuple[Scalar, ...], BeforeValidator(_listed), AfterValidator(some)]
EventLike = Annotated[dict[str, Scalars], AfterValidator(some)]


class Bounds(Model):
    """Between what a flow feature must be, both ends included; one may be left out."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise fault(
                expected="at_least, at_most or both",
                got="neither",
                remedy="add for example {at_least: 1}",
            )
        return self


class When(Model):
    """Conditions that must all hold; one that is left out always does."""

    kind: Texts | None = Field(None, description="kind of the activity")
    variant: Texts | None = Field(None, description="variant of the activity")
    inside: Texts | None = Field(None, description="kind of the activity inside a tunnel")
    origin: Origins | None = Field(None, description="real, synthetic or replayed traffic")
    name: Texts | None = Field(None, description="name of the activity in the topology")
    host: Texts | None = Field(None, description="host that the activity ran on")
    outcome: Texts | None = Field(None, description="how the activity ended: ok, failed, stopped")
    service: Texts | None = Field(None, description="name of the service it was told to talk to")
    service_kind: Texts | None = Field(None, description="kind of that service")
    service_host: Texts | None = Field(None, description="host of that service")
    client: Prefixes | None = Field(None, description="prefixes with the activity's address")
    server: Prefixes | None = Field(None, description="prefixes with the service's address")
    ports: Ports | None = Field(None, description="port on the service's side of the flow")
    protocol: Transports | None = Field(None, description="of the flow: tcp, udp, icmp")
    role: Literal["initiator", "responder", "any"] = Field(
        "any", description="part of the activity's host in the flow"
    )
    phase: Texts | None = Field(None, description="phase of the experiment that the flow began in")
    after_s: float | None = Field(None, description="it began so long after the experiment did")
    before_s: float | None = Field(None, description="or sooner than that")
    activity_log: EventLike | None = Field(
        None, description="fields of an event that the activity's own log has"
    )
    flow_log: EventLike | None = Field(
        None, description="fields of an event of a server's log about this connection"
    )
    child: Children | None = Field(
        None, description="what the activity caused without doing it: icmp, dns, ocsp, ntp, relayed"
    )
    features: dict[str, Bounds] | None = Field(
        None, description="flow features, where nothing else will do; such labels are marked"
    )

    def in_log(self, event: Mapping[str, object]) -> bool:
        """Whether an event is what ``activity_log`` asks for."""
        return _like(event, self.activity_log)

    def about_flow(self, event: Mapping[str, object]) -> bool:
        """Whether an event is what ``flow_log`` asks for."""
        return _like(event, self.flow_log)


def _like(event: Mapping[str, object], wanted: Mapping[str, tuple[Scalar, ...]] | None) -> bool:
    missing = object()
    return wanted is not None and all(
        any(_same(event.get(name, missing), value) for value in values)
        for name, values in wanted.items()
    )


def _same(got: object, wanted: Scalar) -> bool:
    return got == wanted and isinstance(got, bool) == isinstance(wanted, bool)
