"""Calling by telephone over IP."""

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

Variant = Literal["landline", "low-rate", "wideband", "variable", "short-calls"]
CODECS = {
    "landline": ("pcmu", "pcma", "pcma-30"),
    "low-rate": ("g729", "gsm", "ilbc"),
    "wideband": ("g722",),
    "variable": ("opus", "amr"),
    "short-calls": ("pcmu", "pcma", "g729", "opus"),
}


class VoipParams(Params):
    """Settings of the voip activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    talk_s: Annotated[float, Field(gt=0, le=3_600)] = Field(35.0, description="median call")
    silence_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.4, description="calls that suppress silence"
    )
    busy_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.08, description="of the calls after a session's first, those nobody can take"
    )


def draw(rng: Random, params: VoipParams) -> Drawn:
    """Draw one user's calls."""
    variant = pick(rng, params.variants)
    short = variant == "short-calls"
    return variant, {
        "variant": variant,
        "codec": rng.choice(CODECS[variant]),
        "actions": heavy(rng, 4 if short else 1.2, 0.5, 1, 10),
        "talk_s": min(around(rng, 2.0 if short else params.talk_s, 0.8), 3_600.0),
        "silence": chance(rng, params.silence_share),
        "register": chance(rng, 0.8),
        "busy_share": params.busy_share,
    }


KIND = ActivityKind(
    kind="voip",
    summary="telephone calls: SIP over UDP, voice over RTP with RTCP, nine codecs, with and "
    "without suppressed silence",
    category="voip",
    program="voip",
    service_kind="sip",
    variants=get_args(Variant),
    params=VoipParams,
    draw=draw,
    wire="rtp",
)
SERVICE = ServiceKind(
    kind="sip",
    summary="a SIP switch that takes registrations and answers calls",
    program="voip",
    ports=(5060,),
    protocol="udp",
)
