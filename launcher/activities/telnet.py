"""Working on machines over Telnet."""

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

Variant = Literal["typing", "lines", "script", "program"]


class TelnetParams(Params):
    """Settings of the telnet activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    wrong_password_share: Annotated[float, Field(ge=0, le=1)] = 0.08
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: TelnetParams) -> Drawn:
    """Draw one person or script."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 6, 0.7, 1, 40),
        "key_s": around(rng, 0.11, 0.4),
        "think_scale": {"script": 0.1, "program": 0.5}.get(variant, rng.choice((1.0, 2.0))),
        "wrong_passwords": int(chance(rng, params.wrong_password_share)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="telnet",
    summary="people who type, line-mode terminals and scripts on machines over Telnet",
    category="interactive",
    program="telnet",
    service_kind="telnet",
    variants=get_args(Variant),
    params=TelnetParams,
    draw=draw,
    evidence_children=True,
    wire="telnet",
    needs=(Need("inetutils-telnet", command="telnet"),),
)
SERVICE = ServiceKind(
    kind="telnet",
    summary="a machine with a login and a shell over Telnet",
    program="telnet",
    ports=(23,),
    protocol="tcp",
)
