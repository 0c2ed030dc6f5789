"""Working on and watching remote desktops."""

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

Variant = Literal["work", "work-tls", "type", "watch", "slow-line", "snapshot"]


class VncParams(Params):
    """Settings of the vnc activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    stay_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        20.0, description="median of how long somebody watches"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: VncParams) -> Drawn:
    """Draw one user and the viewer's settings."""
    variant = pick(rng, params.variants)
    slow = variant == "slow-line"
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2 if variant == "snapshot" else 8, 0.6, 1, 40),
        "bits": 8 if slow else rng.choice((32, 32, 16)),
        "encoding": rng.choice(("zrle", "hextile") if slow else ("zrle", "zrle-cursor", "hextile")),
        "pause_s": around(rng, 0.7, 0.5) if slow else rng.choice((0.0, 0.0, 0.02, 0.05)),
        "key_s": around(rng, 0.12, 0.4),
        "stay_s": around(rng, params.stay_s, 0.7),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="vnc",
    summary="work on a remote desktop, watching and pictures of it by RFB (VNC), plain and TLS",
    category="interactive",
    program="vnc",
    service_kind="vnc",
    variants=get_args(Variant),
    params=VncParams,
    draw=draw,
    evidence_children=True,
    wire="vnc",
    needs=(Need("vncsnapshot", command="vncsnapshot"),),
)
SERVICE = ServiceKind(
    kind="vnc",
    summary="TigerVNC's server with a desktop that shows text, windows and pictures",
    program="vnc",
    ports=(5900,),
    protocol="tcp",
    needs=(
        Need("tigervnc-standalone-server", command="Xtigervnc"),
        Need("python3-xlib", module="Xlib"),
    ),
)
