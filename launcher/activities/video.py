"""Watching video and listening to music in adaptive segments."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import (
    ActivityKind,
    Drawn,
    Params,
    ServiceKind,
    around,
    chance,
    heavy,
    pick,
)

Variant = Literal["vod-rate", "vod-buffer", "live", "audio", "clips"]
RULES = {"vod-rate": ("rate",), "vod-buffer": ("buffer",), "clips": ("rate", "fixed")}
SEGMENTS_S = {"live": (1.0, 1.0, 2.0), "audio": (2.0, 4.0, 6.0), "clips": (1.0, 2.0, 3.0)}


class VideoParams(Params):
    """Settings of the video activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_session_kb: Annotated[int, Field(ge=100, le=65_536)] = Field(
        7_000, description="per session"
    )
    last_mile_mbit: Annotated[float, Field(gt=0, le=1_000)] = Field(
        8.0, description="median rate of the users' own lines"
    )
    http2_share: Annotated[float, Field(ge=0, le=1)] = 0.35
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a request"
    )


def draw(rng: Random, params: VideoParams) -> Drawn:
    """Draw what one viewer watches, with which player."""
    variant = pick(rng, params.variants)
    clips = variant == "clips"
    return variant, {
        "variant": variant,
        "rule": rng.choice(RULES.get(variant, ("rate", "buffer", "fixed"))),
        "actions": heavy(rng, 4, 0.4, 2, 9) if clips else rng.choice((1, 1, 2)),
        "title_s": around(rng, 5.0, 0.4) if clips else around(rng, 60.0, 0.6),
        "segment_s": rng.choice(SEGMENTS_S.get(variant, (1.0, 2.0, 2.0, 3.0, 4.0, 6.0))),
        "target_s": round(rng.uniform(3.0, 14.0), 1),
        "mile_kbit": heavy(rng, params.last_mile_mbit * 1_000, 0.6, 800, 200_000),
        "screen_kbit": rng.choice((1_000, 1_500, 2_200, 3_200)),
        "budget_kb": heavy(rng, 4_000, 0.6, 100, params.max_session_kb),
        "http2": chance(rng, params.http2_share),
        # Some players move to another connection now and then; 0 is never.
        "per_connection": rng.choice((0, 0, 0, 0, 6, 10)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="video",
    summary="video and music in HLS-like segments over HTTPS, with players that adapt",
    category="streaming",
    program="video",
    service_kind="video",
    variants=get_args(Variant),
    params=VideoParams,
    draw=draw,
    wire="tls.handshake.type == 2",
)
SERVICE = ServiceKind(
    kind="video",
    summary="playlists and segments over HTTPS",
    program="video",
    ports=(8443,),
    protocol="tcp",
)
