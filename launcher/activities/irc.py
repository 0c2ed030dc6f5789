"""Internet Relay Chat."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["chat", "chat-tls", "private", "lurk", "lurk-tls", "bot"]


class IrcParams(Params):
    """Settings of the irc activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: IrcParams) -> Drawn:
    """Draw how talkative somebody is."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 4 if variant.startswith("lurk") else 9, 0.7, 1, 60),
        "think_scale": rng.choice((0.5, 1.0, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="irc",
    summary="channels, private talks, lurkers and bots on IRC, plain and TLS",
    category="messaging",
    program="irc",
    service_kind="irc",
    variants=get_args(Variant),
    params=IrcParams,
    draw=draw,
    wire={
        name: "tls.handshake.type == 2 && tcp.srcport == 6697" if name.endswith("tls") else "irc"
        for name in get_args(Variant)
    },
)
SERVICE = ServiceKind(
    kind="irc",
    summary="ngIRCd: plain on the first port, TLS on the second",
    program="irc",
    ports=(6667, 6697),
    protocol="tcp",
    needs=(Need("ngircd", command="ngircd"),),
)
