"""Sending and reading mail."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, ServiceKind, chance, heavy, pick

Variant = Literal["send", "relay", "sync", "read-tls", "read-starttls", "push"]


class MailParams(Params):
    """Settings of the mail activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    message_kb: Annotated[float, Field(gt=0, le=16_000)] = Field(6.0, description="median message")
    max_message_kb: Annotated[int, Field(ge=1, le=16_000)] = 1_500
    wrong_password_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: MailParams) -> Drawn:
    """Draw what one user sends and reads."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2, 0.7, 1, 8),
        "message_bytes": heavy(rng, params.message_kb * 1_024, 0.6, 600, 200_000),
        "max_message_kb": params.max_message_kb,
        "starttls": chance(rng, 0.6),
        "wrong_passwords": int(chance(rng, params.wrong_password_share)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="mail",
    summary="submission and relay by SMTP, reading and push by IMAP, with STARTTLS and TLS",
    category="mail",
    program="mail",
    service_kind="mail",
    variants=get_args(Variant),
    params=MailParams,
    draw=draw,
    wire="smtp || imap || tls.handshake",
)
SERVICE = ServiceKind(
    kind="mail",
    summary="SMTP, submission, IMAP and IMAP over TLS",
    program="mail",
    ports=(25, 587, 143, 993),
    protocol="tcp",
)
