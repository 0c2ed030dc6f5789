"""Finding out which hosts there are."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, heavy, pick

Variant = Literal["nmap-ping", "nmap-syn", "nmap-ack", "fping", "connect"]


class DiscoveryParams(Params):
    """Settings of the discovery activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_addresses: Annotated[int, Field(ge=2, le=128)] = Field(60, description="tried per session")
    max_rate_s: Annotated[float, Field(gt=0, le=100)] = Field(60.0, description="probes a second")


def draw(rng: Random, params: DiscoveryParams) -> Drawn:
    """Draw one sweep."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "addresses": heavy(rng, 14, 0.7, 2, params.max_addresses),
        "rate_s": round(min(rng.uniform(8.0, 60.0), params.max_rate_s), 1),
        "order": rng.choice(("random", "sequential")),
    }


KIND = ActivityKind(
    kind="discovery",
    summary="sweeps for hosts that answer: ICMP, SYN and ACK probes by nmap, fping, connecting",
    category="attack",
    program="discovery",
    service_kind=None,
    variants=get_args(Variant),
    params=DiscoveryParams,
    draw=draw,
    malicious=True,
    attack_technique="T1018",
    effect="the host that it was aimed at was among those found",
    evidence_children=True,
    wire={
        "nmap-ping": "icmp.type == 8",
        "nmap-syn": "tcp.flags == 0x002",
        "nmap-ack": "tcp.flags == 0x010",
        "fping": "icmp.type == 8",
        "connect": "tcp.flags == 0x002",
    },
    needs=(Need("nmap", command="nmap"), Need("fping", command="fping")),
)
