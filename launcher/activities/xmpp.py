"""Instant messages over XMPP."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["talk", "talk-starttls", "talk-tls", "room", "room-starttls", "idle-tls"]


class XmppParams(Params):
    """Settings of the xmpp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: XmppParams) -> Drawn:
    """Draw how talkative somebody is."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 8, 0.7, 1, 60),
        "think_scale": rng.choice((0.5, 1.0, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="xmpp",
    summary="talks, rooms and presence over XMPP: plain, STARTTLS and TLS from the start",
    category="messaging",
    program="xmpp",
    service_kind="xmpp",
    variants=get_args(Variant),
    params=XmppParams,
    draw=draw,
    wire={
        "talk": "xmpp.message",
        "talk-starttls": "tls.handshake.type == 2 && tcp.srcport == 5222",
        "talk-tls": "tls.handshake.type == 2 && tcp.srcport == 5223",
        "room": "xmpp.message",
        "room-starttls": "tls.handshake.type == 2 && tcp.srcport == 5222",
        "idle-tls": "tls.handshake.type == 2 && tcp.srcport == 5223",
    },
    needs=(Need("python3-slixmpp", module="slixmpp"),),
)
SERVICE = ServiceKind(
    kind="xmpp",
    summary="Prosody: XMPP with STARTTLS on the first port, TLS on the second",
    program="xmpp",
    ports=(5222, 5223),
    protocol="tcp",
    needs=(Need("prosody", command="prosody"),),
)
