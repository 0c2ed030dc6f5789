"""Resolving names over HTTPS."""

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

Variant = Literal["kept", "burst", "curl", "tool"]


class DohParams(Params):
    """Settings of the doh activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    padded_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.6, description="resolvers that pad their questions to one length"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: DohParams) -> Drawn:
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
    kind="doh",
    summary="names resolved over HTTPS (RFC 8484): now and then, in bursts, and with curl and kdig",
    category="infrastructure",
    program="doh",
    service_kind="doh",
    variants=get_args(Variant),
    params=DohParams,
    draw=draw,
    evidence_children=True,
    wire='tls.handshake.extensions_alpn_str == "h2"',
    needs=(Need("knot-dnsutils", command="kdig"), Need("curl", command="curl")),
)
SERVICE = ServiceKind(
    kind="doh",
    summary="the resolver unbound over HTTPS",
    program="doh",
    ports=(443,),
    protocol="tcp",
    needs=(Need("unbound", command="unbound"),),
)
