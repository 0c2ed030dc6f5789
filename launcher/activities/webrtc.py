"""Calls and data channels by WebRTC."""

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

Variant = Literal["voice", "video-call", "screen", "game-data", "file-data"]
NEEDS = (
    Need("python3-aiortc", module="aiortc"),
    Need("python3-av", module="av"),
    Need("python3-aiohttp", module="aiohttp"),
)
MEDIA = {
    "voice": ["sound"],
    "video-call": ["sound", "picture"],
    "screen": ["picture", "data"],
    "game-data": ["data"],
    "file-data": ["data"],
}
SAYS = {"game-data": (15.0, 90.0), "file-data": (6.0, 12_000.0)}


class WebrtcParams(Params):
    """Settings of the webrtc activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    talk_s: Annotated[float, Field(gt=0, le=3_600)] = Field(30.0, description="median call")
    max_rate: Annotated[int, Field(ge=1, le=30)] = Field(
        10, description="pictures a second; each costs the processor some milliseconds"
    )


def draw(rng: Random, params: WebrtcParams) -> Drawn:
    """Draw one user's calls."""
    variant = pick(rng, params.variants)
    say_hz, say_bytes = SAYS.get(variant, (1.0, 300.0))
    width, height = rng.choice(((160, 90), (240, 136), (320, 180)))
    return variant, {
        "variant": variant,
        "media": list(MEDIA[variant]),
        "actions": heavy(rng, 1.2, 0.4, 1, 4),
        "talk_s": min(around(rng, params.talk_s, 0.8), 3_600.0),
        "width": width,
        "height": height,
        "rate": max(int(params.max_rate * rng.uniform(0.4, 1.0)), 1),
        "say_hz": around(rng, say_hz, 0.4),
        "say_bytes": around(rng, say_bytes, 0.5),
        "tls": chance(rng, 0.7),
    }


KIND = ActivityKind(
    kind="webrtc",
    summary="WebRTC calls (Opus, VP8 over SRTP) and data channels (SCTP over DTLS) by aiortc, with "
    "ICE and signalling over HTTP",
    category="voip",
    program="webrtc",
    service_kind="webrtc",
    variants=get_args(Variant),
    params=WebrtcParams,
    draw=draw,
    wire="stun.att.type == 0x8029 || stun.att.type == 0x802a",
    needs=NEEDS,
)
SERVICE = ServiceKind(
    kind="webrtc",
    summary="the other side of WebRTC calls: signalling over HTTPS on the first port, HTTP on the "
    "second",
    program="webrtc",
    ports=(8443, 8080),
    protocol="any",
    needs=NEEDS,
)
