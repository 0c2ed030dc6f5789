"""Fetching mail by POP3."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["fetch", "fetch-starttls", "fetch-tls", "check", "mpop", "fetchmail"]


class Pop3Params(Params):
    """Settings of the pop3 activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    wrong_password_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: Pop3Params) -> Drawn:
    """Draw how one user fetches mail."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 4 if variant == "check" else 2, 0.6, 1, 12),
        "delete_share": rng.choice((0.0, 0.0, 0.5, 1.0)),
        "think_scale": rng.choice((0.5, 1.0, 2.0, 4.0)),
        "wrong_password_share": params.wrong_password_share,
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="pop3",
    summary="mail checked and fetched by POP3, STARTTLS and TLS, with poplib, mpop and fetchmail",
    category="mail",
    program="pop3",
    service_kind="pop3",
    variants=get_args(Variant),
    params=Pop3Params,
    draw=draw,
    evidence_children=True,
    wire={
        "fetch": 'pop.request.command == "RETR"',
        "fetch-starttls": "tls.handshake.type == 2 && tcp.srcport == 110",
        "fetch-tls": "tls.handshake.type == 2 && tcp.srcport == 995",
        "check": 'pop.request.command == "STAT"',
        "mpop": "pop || tls.handshake.type == 2",
        "fetchmail": "pop || tls.handshake.type == 2",
    },
    needs=(Need("mpop", command="mpop"), Need("fetchmail", command="fetchmail")),
    # proot starts programs from /tmp, from which Docker hosts start none.
    backends=("netns",),
)
SERVICE = ServiceKind(
    kind="pop3",
    summary="Dovecot: POP3 with STARTTLS on the first port, TLS on the second",
    program="pop3",
    ports=(110, 995),
    protocol="tcp",
    needs=(Need("dovecot-pop3d", command="dovecot"), Need("proot", command="proot")),
)
