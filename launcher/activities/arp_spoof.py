"""Spoofing ARP."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, heavy, pick

Variant = Literal["reply", "request", "gratuitous"]


class ArpSpoofParams(Params):
    """Settings of the arp-spoof activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_claims: Annotated[int, Field(ge=1, le=400)] = Field(100, description="per session")


def draw(rng: Random, params: ArpSpoofParams) -> Drawn:
    """Draw one attacker."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "claims": heavy(rng, 20, 0.6, 4, params.max_claims),
        "rate_s": round(rng.uniform(1.0, 10.0), 2),
    }


KIND = ActivityKind(
    kind="arp-spoof",
    summary="ARP replies, requests and announcements that claim an unused address of the network",
    category="attack",
    program="arp_spoof",
    service_kind=None,
    variants=get_args(Variant),
    params=ArpSpoofParams,
    draw=draw,
    malicious=True,
    attack_technique="T1557.002",
    effect="the target sent here what was for the claimed address",
    wire="arp",
    untracked=get_args(Variant),
)
