"""Watching titles and a live channel by DASH."""

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

Variant = Literal["vod-rate", "vod-buffer", "vod-ranges", "live", "ffmpeg"]
FFMPEG = Need("ffmpeg", command="ffmpeg")


class DashParams(Params):
    """Settings of the dash activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    watch_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        40.0, description="median time that a title is watched"
    )
    mile_kbit: Annotated[float, Field(ge=200, le=100_000)] = Field(
        3_000.0, description="median rate of a user's last mile"
    )


def draw(rng: Random, params: DashParams) -> Drawn:
    """Draw what one user watches, and how fast the network is."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 1.3, 0.5, 1, 4),
        "watch_s": min(around(rng, params.watch_s, 0.8), 3_600.0),
        "mile_kbit": max(around(rng, params.mile_kbit, 0.7), 200.0),
        "target_s": round(rng.choice((4.0, 8.0, 12.0, 20.0)) * rng.uniform(0.8, 1.2), 1),
    }


KIND = ActivityKind(
    kind="dash",
    summary="titles and a live channel by DASH over HTTPS: adaptive players (by rate, by buffer, "
    "by ranges of bytes) and ffmpeg with nginx",
    category="streaming",
    program="dash",
    service_kind="dash",
    variants=get_args(Variant),
    params=DashParams,
    draw=draw,
    evidence_children=True,
    wire="tls.handshake.type == 2",
    needs=(FFMPEG,),
)
SERVICE = ServiceKind(
    kind="dash",
    summary="nginx with DASH titles and a live channel made by ffmpeg",
    program="dash",
    ports=(443,),
    protocol="tcp",
    needs=(FFMPEG, Need("nginx-light", command="nginx")),
)
