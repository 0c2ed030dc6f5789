"""Watching cameras by RTSP."""

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

Variant = Literal["ffmpeg-udp", "ffmpeg-tcp", "monitor-udp", "monitor-tcp", "wall"]
FFMPEG = Need("ffmpeg", command="ffmpeg")


class RtspParams(Params):
    """Settings of the rtsp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    watch_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        30.0, description="median time that a camera is watched"
    )


def draw(rng: Random, params: RtspParams) -> Drawn:
    """Draw what one user watches."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 1.5, 0.6, 1, 6),
        "watch_s": min(around(rng, params.watch_s, 0.8), 3_600.0),
    }


KIND = ActivityKind(
    kind="rtsp",
    summary="cameras watched by RTSP: transport streams over RTP, by UDP and inside the "
    "connection, with ffmpeg, a monitor, and a wall of monitors",
    category="streaming",
    program="rtsp",
    service_kind="cameras",
    variants=get_args(Variant),
    params=RtspParams,
    draw=draw,
    evidence_children=True,
    wire='rtsp.method == "PLAY"',
    needs=(FFMPEG,),
)
SERVICE = ServiceKind(
    kind="cameras",
    summary="an RTSP server with four cameras",
    program="rtsp",
    ports=(554,),
    protocol="any",
    needs=(FFMPEG,),
)
