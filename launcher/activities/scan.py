"""Scanning hosts for open ports."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, heavy, pick

Variant = Literal["sequential", "parallel", "random", "slow", "versions", "syn", "syn-burst"]
RAW = ("syn", "syn-burst")
SESSION_S = 12.0  # a scan should be over well inside a session


class ScanParams(Params):
    """Settings of the scan activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_ports: Annotated[int, Field(ge=1, le=1_000)] = Field(45, description="tried per host")
    max_rate_pps: Annotated[float, Field(gt=0, le=60)] = Field(50.0, description="probes a second")


def draw(rng: Random, params: ScanParams) -> Drawn:
    """Draw one scan."""
    variant = pick(rng, params.variants)
    rate = min(
        rng.uniform(1.0, 2.5) if variant == "slow" else rng.uniform(5.0, 50.0), params.max_rate_pps
    )
    most = max(1, min(params.max_ports, int(rate * SESSION_S)))
    return variant, {
        "variant": variant,
        "ports": heavy(rng, 7 if variant in ("versions", "slow") else 14, 0.5, min(4, most), most),
        "port_set": rng.choice(("top", "top", "range")),
        "rate_pps": round(rate, 2),
        "parallel": rng.choice((4, 8, 16)) if variant == "parallel" else 1,
        "banner_share": round(rng.random(), 2),
        "identify_share": 1.0 if variant == "versions" else 0.3 if variant in RAW else 0.7,
        "copies": rng.choice((2, 2, 3)) if variant == "syn-burst" else 1,
        "one_source_port": variant == "syn-burst",
    }


KIND = ActivityKind(
    kind="scan",
    summary="port scans of the lab's own hosts, connecting or half-open, in many orders and rates",
    category="attack",
    program="scan",
    service_kind=None,
    variants=get_args(Variant),
    params=ScanParams,
    draw=draw,
    malicious=True,
    attack_technique="T1046",
    effect="the open ports found are those the host's services listen on, among the ports tried",
    wire="tcp.flags.syn == 1 && tcp.flags.ack == 0",
)
