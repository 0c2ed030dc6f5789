"""An in-memory store: caches, queues, channels and its administration."""

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
    around,
    heavy,
    pick,
)

Variant = Literal["cache", "queue", "channel", "load", "cli", "benchmark"]


class RedisParams(Params):
    """Settings of the redis activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    value_bytes: Annotated[float, Field(gt=0, le=100_000)] = Field(300.0, description="median")
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: RedisParams) -> Drawn:
    """Draw what one application or administrator does."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2 if variant in ("cli", "benchmark") else 8, 0.7, 1, 40),
        "value_bytes": around(rng, params.value_bytes, 0.8),
        "think_scale": rng.choice((0.2, 0.5, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="redis",
    summary="caches, job queues, channels, bulk loads, redis-cli and redis-benchmark on Redis",
    category="database",
    program="db_redis",
    service_kind="redis",
    variants=get_args(Variant),
    params=RedisParams,
    draw=draw,
    evidence_children=True,
    wire="resp",
    needs=(
        Need("redis-tools", command="redis-cli"),
        Need("redis-tools", command="redis-benchmark"),
        Need("python3-redis", module="redis"),
    ),
)
SERVICE = ServiceKind(
    kind="redis",
    summary="Redis, in memory only",
    program="db_redis",
    ports=(6379,),
    protocol="tcp",
    needs=(Need("redis-server", command="redis-server"),),
)
