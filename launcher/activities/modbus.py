"""Watching and controlling machines over Modbus/TCP."""

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

Variant = Literal["poll", "poll-fast", "control", "sweep", "operator", "mbpoll"]


class ModbusParams(Params):
    """Settings of the modbus activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    period_s: Annotated[float, Field(gt=0, le=600)] = Field(
        1.0, description="median cycle of what polls (poll-fast: a tenth)"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: ModbusParams) -> Drawn:
    """Draw one master."""
    variant = pick(rng, params.variants)
    fast = variant == "poll-fast"
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 4, 0.7, 1, 20),
        "cycles": heavy(rng, 100 if fast else 20, 0.8, 3, 500),
        "groups": heavy(rng, 2.5, 0.6, 1, 12),
        "period_s": around(rng, params.period_s * (0.1 if fast else 0.6), 0.5),
        "touch_share": params.touch_share,
    }


_NEEDS = (
    Need("python3-pymodbus", module="pymodbus"),
    # Debian's pymodbus does not start without them.
    Need("python3-serial", module="pymodbus"),
    Need("python3-serial-asyncio", module="pymodbus"),
)

KIND = ActivityKind(
    kind="modbus",
    summary="polling, control loops, inventories and operators on Modbus/TCP, pymodbus and mbpoll",
    category="iot",
    program="modbus",
    service_kind="modbus",
    variants=get_args(Variant),
    params=ModbusParams,
    draw=draw,
    evidence_children=True,
    wire="mbtcp && modbus.func_code",
    needs=(*_NEEDS, Need("mbpoll", command="mbpoll")),
)
SERVICE = ServiceKind(
    kind="modbus",
    summary="a controller with coils, inputs and registers on Modbus/TCP",
    program="modbus",
    ports=(502,),
    protocol="tcp",
    needs=_NEEDS,
)
