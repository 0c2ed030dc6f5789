"""Working in a remote shell."""

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

Variant = Literal["typing", "pager", "editor", "monitor", "commands"]


class SshParams(Params):
    """Settings of the ssh activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    key_s: Annotated[float, Field(gt=0, le=10)] = Field(
        0.14, description="median time between two keys"
    )
    wrong_password_share: Annotated[float, Field(ge=0, le=1)] = 0.08
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: SshParams) -> Drawn:
    """Draw what one person does in the shell, and how fast the person types."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 6, 0.6, 1, 30),
        "key_s": around(rng, params.key_s, 0.35),
        "think_scale": rng.choice((1.0, 1.0, 1.0, 4.0)),
        "paste_share": rng.choice((0.0, 0.05, 0.1, 0.3)),
        "auth": rng.choice(("password", "key")),
        "wrong_passwords": int(chance(rng, params.wrong_password_share)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="ssh",
    summary="typing, reading, editing, watching and running commands in a remote shell",
    category="interactive",
    program="ssh",
    service_kind="ssh",
    variants=get_args(Variant),
    params=SshParams,
    draw=draw,
    wire="ssh.protocol",
)
SERVICE = ServiceKind(
    kind="ssh",
    summary="a shell with SFTP and SCP",
    program="ssh",
    ports=(22,),
    protocol="tcp",
)
