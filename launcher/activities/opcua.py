"""Machines over OPC UA."""

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

Variant = Literal["read", "watch", "browse", "set", "call"]


class OpcuaParams(Params):
    """Settings of the opcua activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: OpcuaParams) -> Drawn:
    """Draw one client."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 7, 0.7, 1, 40),
        "values": heavy(rng, 8, 0.8, 1, 72),
        "cycles": heavy(rng, 20, 0.8, 3, 300),
        "period_s": around(rng, 0.4, 0.7),
        "think_scale": rng.choice((0.5, 1.0, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


_NEEDS = (Need("python3-asyncua", module="asyncua"),)

KIND = ActivityKind(
    kind="opcua",
    summary="machines read, watched, browsed, set and told what to do over OPC UA",
    category="iot",
    program="opcua",
    service_kind="opcua",
    variants=get_args(Variant),
    params=OpcuaParams,
    draw=draw,
    wire="opcua.transport.type",
    needs=_NEEDS,
    backends=("netns",),  # Debian has no package of asyncua
)
SERVICE = ServiceKind(
    kind="opcua",
    summary="an OPC UA server with machines whose values change",
    program="opcua",
    ports=(4840,),
    protocol="tcp",
    needs=_NEEDS,
)
