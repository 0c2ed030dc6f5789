"""Flooding a host with packets."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, heavy, pick

Variant = Literal["syn", "own-syn", "udp", "icmp"]


class FloodParams(Params):
    """Settings of the flood activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_packets: Annotated[int, Field(ge=10, le=4_000)] = Field(1_500, description="per session")
    max_rate_s: Annotated[float, Field(gt=0, le=500)] = Field(300.0, description="packets a second")


def draw(rng: Random, params: FloodParams) -> Drawn:
    """Draw one flood."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "packets": heavy(rng, 500, 0.6, 10, params.max_packets),
        "rate_s": round(min(rng.uniform(80.0, 300.0), params.max_rate_s), 1),
        "bytes": rng.choice((0, 0, 32, 120, 512, 1_200)) if variant in ("udp", "icmp") else 0,
    }


KIND = ActivityKind(
    kind="flood",
    summary="bounded floods of SYNs, datagrams and pings, by hping3 and by raw sockets",
    category="attack",
    program="flood",
    service_kind=None,
    variants=get_args(Variant),
    params=FloodParams,
    draw=draw,
    malicious=True,
    attack_technique="T1498.001",
    effect="the target answered more than half of the packets (of datagrams: they went out)",
    evidence_children=True,
    wire={
        "syn": "tcp.flags == 0x002",
        "own-syn": "tcp.flags == 0x002",
        "udp": "udp",
        "icmp": "icmp.type == 8",
    },
    needs=(Need("hping3", command="hping3"),),
)
