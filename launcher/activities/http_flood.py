"""Flooding a web server with requests."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, heavy, pick

Variant = Literal["get", "post", "ab"]


class HttpFloodParams(Params):
    """Settings of the http-flood activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_requests: Annotated[int, Field(ge=10, le=3_000)] = Field(600, description="per session")
    max_rate_s: Annotated[float, Field(gt=0, le=300)] = Field(
        150.0, description="requests a second; ab has no such limit, only fewer requests at once"
    )


def draw(rng: Random, params: HttpFloodParams) -> Drawn:
    """Draw one flood."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "requests": heavy(rng, 250, 0.5, 10, params.max_requests),
        "rate_s": round(min(rng.uniform(50.0, 150.0), params.max_rate_s), 1),
        "parallel": rng.choice((2, 4, 8)),
        "per_connection": rng.choice((1, 1, 5, 100)),
    }


KIND = ActivityKind(
    kind="http-flood",
    summary="a bounded flood of GET or POST requests, by workers of our own and by ApacheBench",
    category="attack",
    program="http_flood",
    service_kind="shop",
    variants=get_args(Variant),
    params=HttpFloodParams,
    draw=draw,
    malicious=True,
    attack_technique="T1499.002",
    effect="the server spent its time on most of the requests",
    evidence_children=True,
    wire="http.request",
    needs=(Need("apache2-utils", command="ab"),),
)
