"""Port scans by the program that everybody uses."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, chance, heavy, pick

Variant = Literal["syn", "connect", "fin", "xmas", "null", "udp", "version", "os"]
SLOW = ("udp", "version", "os")


class NmapParams(Params):
    """Settings of the nmap activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_ports: Annotated[int, Field(ge=1, le=1_000)] = Field(120, description="tried per session")
    max_rate_s: Annotated[float, Field(gt=0, le=200)] = Field(100.0, description="probes a second")


def draw(rng: Random, params: NmapParams) -> Drawn:
    """Draw one scan."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "ports": heavy(rng, 6 if variant in SLOW else 40, 0.6, 1, params.max_ports),
        "rate_s": round(min(rng.uniform(15.0, 100.0), params.max_rate_s), 1),
        "fragments": chance(rng, 0.1),
    }


KIND = ActivityKind(
    kind="nmap",
    summary="port scans by nmap: SYN, connect, FIN, Xmas, null, UDP, versions, operating system",
    category="attack",
    program="nmap",
    service_kind=None,
    variants=get_args(Variant),
    params=NmapParams,
    draw=draw,
    malicious=True,
    attack_technique="T1046",
    effect="the ports found open are those the host's services listen on, among the ports tried",
    evidence_children=True,
    wire={
        "syn": "tcp.flags == 0x002",
        "connect": "tcp.flags == 0x002",
        "fin": "tcp.flags == 0x001",
        "xmas": "tcp.flags == 0x029",
        "null": "tcp.flags == 0x000",
        "udp": "udp",
        "version": "tcp.flags == 0x002",
        "os": "tcp.flags == 0x002",
    },
    needs=(Need("nmap", command="nmap"),),
)
