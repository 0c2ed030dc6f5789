"""Resolving names."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, ServiceKind, heavy, pick

Variant = Literal["stub", "shared", "burst", "tcp", "records"]
LOOKUPS = {"stub": 5.0, "shared": 8.0, "burst": 4.0, "tcp": 6.0, "records": 6.0}


class DnsParams(Params):
    """Settings of the dns activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_lookups: Annotated[int, Field(ge=1, le=1_000)] = Field(20, description="per session")
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: DnsParams) -> Drawn:
    """Draw how one resolver asks, and how often."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, LOOKUPS[variant], 0.6, 1, params.max_lookups),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="dns",
    summary="names resolved over UDP, and over TCP where answers are long or clients prefer it",
    category="infrastructure",
    program="dns",
    service_kind="dns",
    variants=get_args(Variant),
    params=DnsParams,
    draw=draw,
    wire="dns.flags.response == 1",
)
SERVICE = ServiceKind(
    kind="dns",
    summary="a name server on UDP and TCP",
    program="dns",
    ports=(53,),
    protocol="any",
)
