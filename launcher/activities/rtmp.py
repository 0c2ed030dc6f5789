"""Watching and publishing by RTMP."""

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

Variant = Literal["watch-live", "watch-clip", "record-rtmpdump", "publish-clip", "publish-live"]
FFMPEG = Need("ffmpeg", command="ffmpeg")


class RtmpParams(Params):
    """Settings of the rtmp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    watch_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        25.0, description="median time that one thing is watched or published"
    )
    kbit: Annotated[int, Field(ge=50, le=8_000)] = Field(
        400, description="median rate of what is published"
    )


def draw(rng: Random, params: RtmpParams) -> Drawn:
    """Draw what one user watches or publishes."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 1.4, 0.5, 1, 5),
        "watch_s": min(around(rng, params.watch_s, 0.7), 3_600.0),
        "kbit": heavy(rng, params.kbit, 0.5, 50, 8_000),
    }


KIND = ActivityKind(
    kind="rtmp",
    summary="live channels and clips watched and published by RTMP: ffmpeg and rtmpdump with nginx",
    category="streaming",
    program="rtmp",
    service_kind="rtmp",
    variants=get_args(Variant),
    params=RtmpParams,
    draw=draw,
    evidence_children=True,
    wire="rtmpt",
    needs=(FFMPEG, Need("rtmpdump", command="rtmpdump")),
)
SERVICE = ServiceKind(
    kind="rtmp",
    summary="nginx's RTMP module with clips and live channels",
    program="rtmp",
    ports=(1935,),
    protocol="tcp",
    needs=(
        FFMPEG,
        Need("nginx-light", command="nginx"),
        Need("libnginx-mod-rtmp", file="/usr/lib/nginx/modules/ngx_rtmp_module.so"),
    ),
)
