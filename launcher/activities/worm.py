"""Looking for hosts as a worm does."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, heavy, pick

Variant = Literal["random", "local", "sequential"]


class WormParams(Params):
    """Settings of the worm activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_tries: Annotated[int, Field(ge=1, le=600)] = Field(200, description="addresses per session")
    max_rate_s: Annotated[float, Field(gt=0, le=60)] = Field(40.0, description="tries a second")


def draw(rng: Random, params: WormParams) -> Drawn:
    """Draw one worm."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "tries": heavy(rng, 50, 0.6, 2, params.max_tries),
        "rate_s": round(min(rng.uniform(6.0, 40.0), params.max_rate_s), 1),
    }


KIND = ActivityKind(
    kind="worm",
    summary="a worm's search of the lab's addresses on one port: random, nearby first, sequential",
    category="attack",
    program="worm",
    service_kind=None,
    variants=get_args(Variant),
    params=WormParams,
    draw=draw,
    malicious=True,
    attack_technique="T1210",
    effect="a host took the connection and the harmless text that stands for an exploit",
    wire="tcp.flags == 0x002",
)
