"""Routers of a lab: what they forward, translate and refuse, and which routes they speak of."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from topologies.faults import fault
from topologies.model import Model, Name

Action = Literal["accept", "drop", "reject"]
_PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_LAST_PORT: Final = 65_535


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_ports(text: str) -> str:
    first, last = port_range(text)
    if not 1 <= first <= last <= _LAST_PORT:
        raise fault(
            expected="a port or a range of ports",
            got=repr(text),
            remedy="write it like 443 or 5000-5100",
        )
    return text


def port_range(text: str) -> tuple[int, int]:
    """First and last port that a text like ``443`` or ``5000-5100`` stands for; (0, 0) if none."""
    match = _PORTS.fullmatch(text)
    return (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))


Ports = Annotated[
    str,
    BeforeValidator(_as_text, json_schema_input_type=int | str),
    AfterValidator(_check_ports),
]


class Rule(Model):
    """One rule of a firewall: the first that fits a new connection decides."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    action: Action
    source: tuple[Name, ...] = Field(
        (), alias="from", description="networks and hosts that open it; empty is any"
    )
    target: tuple[Name, ...] = Field(
        (), alias="to", description="networks and hosts that it goes to; empty is any"
    )
    protocol: Literal["any", "tcp", "udp", "icmp"] = "any"
    ports: tuple[Ports, ...] = Field((), description="of the target, like 443 or 5000-5100")

    @model_validator(mode="after")
    def _ports_need_a_protocol(self) -> Self:
        if self.ports and self.protocol not in ("tcp", "udp"):
            raise fault(
                expected="protocol tcp or udp in a rule with ports",
                got=self.protocol,
                remedy="set protocol:, or remove ports:",
            )
        return self


class Firewall(Model):
    """What a router forwards; answers to what it let pass always go back."""

    default: Action = Field("drop", description="for what no rule fits")
    rules: tuple[Rule, ...] = ()


class Nat(Model):
    """Source NAT: behind ``outside`` the router's address stands for all of its other networks.

    Only IPv4 is translated; IPv6 is routed. From outside nothing new comes in, of either.
    """

    outside: Name = Field(description="the network towards the rest of the lab")


class Router(Model):
    """A host that forwards between its networks."""

    networks: Annotated[tuple[Name, ...], Field(min_length=2)]
    nat: Nat | None = None
    firewall: Firewall | None = None
    asn: Annotated[int, Field(ge=1, le=4_294_967_294)] | None = Field(
        None, description="autonomous system; its routers learn their routes by BGP and OSPF"
    )
