"""Resolving names over TLS."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import (
    ActivityKind,
    Drawn,
    Need,
    Params,
    ServiceKind,
    chance,
    heavy,
    pick,
)

Variant = Literal["single", "kept", "pipelined", "tool"]


class DotParams(Params):
    """Settings of the dot activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    padded_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.6, description="resolvers that pad their questions to one length"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: DotParams) -> Drawn:
    """Draw how one resolver asks, and how often."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 10 if variant == "kept" else 4, 0.7, 1, 60),
        "padded": chance(rng, params.padded_share),
        "think_scale": rng.choice((0.3, 1.0, 1.0, 3.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="dot",
    summary="names resolved over TLS (RFC 7858): one or many questions a connection, and kdig",
    category="infrastructure",
    program="dot",
    service_kind="dot",
    variants=get_args(Variant),
    params=DotParams,
    draw=draw,
    evidence_children=True,
    wire="tls.handshake.type == 2 && tcp.srcport == 853",
    needs=(Need("knot-dnsutils", command="kdig"),),
)
SERVICE = ServiceKind(
    kind="dot",
    summary="the resolver unbound over TLS",
    program="dot",
    ports=(853,),
    protocol="tcp",
    needs=(Need("unbound", command="unbound"),),
)
