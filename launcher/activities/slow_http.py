"""Wearing a web server down with slow requests."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, heavy, pick

Variant = Literal["own", "headers", "body", "read"]


class SlowHttpParams(Params):
    """Settings of the slow-http activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_connections: Annotated[int, Field(ge=1, le=120)] = Field(80, description="at once")


def draw(rng: Random, params: SlowHttpParams) -> Drawn:
    """Draw one attacker."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "connections": heavy(rng, 30, 0.5, 1, params.max_connections),
        "rate_s": round(rng.uniform(10.0, 40.0), 1),
        "gap_s": round(rng.uniform(0.8, 3.0), 2),
    }


KIND = ActivityKind(
    kind="slow-http",
    summary="connections that never finish a request or never read: slow headers, bodies, reading",
    category="attack",
    program="slow_http",
    service_kind="shop",
    variants=get_args(Variant),
    params=SlowHttpParams,
    draw=draw,
    malicious=True,
    attack_technique="T1499.002",
    effect="the server held more than half of the connections open",
    evidence_children=True,
    wire={
        "own": "tcp.dstport == 80 && tcp.len > 0",
        "headers": "tcp.dstport == 80 && tcp.len > 0",
        "body": 'http.request.method == "POST" || tcp.dstport == 80 && tcp.len > 0',
        "read": 'http.request.method == "GET"',
    },
    needs=(Need("slowhttptest", command="slowhttptest"),),
)
