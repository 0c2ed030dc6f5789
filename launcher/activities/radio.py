"""Listening to Internet radio and podcasts."""

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
    chance,
    heavy,
    pick,
)

Variant = Literal["listen", "zap", "podcast", "record-curl", "play-ffmpeg"]
FFMPEG = Need("ffmpeg", command="ffmpeg")


class RadioParams(Params):
    """Settings of the radio activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    listen_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        40.0, description="median time with a station"
    )
    tls_share: Annotated[float, Field(ge=0, le=1)] = 0.5


def draw(rng: Random, params: RadioParams) -> Drawn:
    """Draw what one user listens to, and for how long."""
    variant = pick(rng, params.variants)
    zapping = variant == "zap"
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 5, 0.5, 2, 15) if zapping else heavy(rng, 1.3, 0.5, 1, 4),
        "listen_s": min(around(rng, 1.2 if zapping else params.listen_s, 0.7), 3_600.0),
        "titles": chance(rng, 0.7),
        "tls": chance(rng, params.tls_share),
    }


KIND = ActivityKind(
    kind="radio",
    summary="Internet radio (MP3, AAC) and podcasts over HTTP, plain and with TLS: listeners who "
    "stay or zap, recorders, ffmpeg",
    category="streaming",
    program="radio",
    service_kind="radio",
    variants=get_args(Variant),
    params=RadioParams,
    draw=draw,
    evidence_children=True,
    wire="http.request || tls.handshake.type == 2",
    needs=(FFMPEG, Need("curl", command="curl")),
)
SERVICE = ServiceKind(
    kind="radio",
    summary="an Icecast-like server: plain on the first port, TLS on the second",
    program="radio",
    ports=(8000, 8443),
    protocol="tcp",
    needs=(FFMPEG,),
)
