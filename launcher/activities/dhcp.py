"""Addresses and settings by DHCP."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, ServiceKind, heavy, pick

Variant = Literal["join", "renew", "inform", "relay"]
KINDS = {"join": 1, "renew": 3, "inform": 8, "relay": 1}


class DhcpParams(Params):
    """Settings of the dhcp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: DhcpParams) -> Drawn:
    """Draw how many devices there are, or how often one asks."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 4 if variant == "relay" else 1.5, 0.7, 1, 25),
        "think_scale": rng.choice((0.3, 0.5, 1.0, 1.0, 2.0, 4.0)),
    }


KIND = ActivityKind(
    kind="dhcp",
    summary="devices that join, renew and ask for settings by DHCP, and a relay agent",
    category="infrastructure",
    program="dhcp",
    service_kind="dhcp",
    variants=get_args(Variant),
    params=DhcpParams,
    draw=draw,
    wire={name: f"dhcp.option.dhcp == {kind}" for name, kind in KINDS.items()},
)
SERVICE = ServiceKind(
    kind="dhcp",
    summary="a DHCP server; what it gives out is used by nobody",
    program="dhcp",
    ports=(67,),
    protocol="udp",
)
