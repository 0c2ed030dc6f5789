"""Message queues over AMQP."""

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

Variant = Literal["jobs", "requests", "backlog", "large"]


class AmqpParams(Params):
    """Settings of the amqp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    message_bytes: Annotated[float, Field(gt=0, le=100_000)] = Field(400.0, description="median")
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: AmqpParams) -> Drawn:
    """Draw one application."""
    variant = pick(rng, params.variants)
    scale = 100.0 if variant == "large" else 1.0
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2 if variant in ("backlog", "large") else 8, 0.7, 1, 40),
        "message_bytes": around(rng, params.message_bytes * scale, 0.7),
        "think_scale": rng.choice((0.2, 0.5, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


_NEEDS = (Need("python3-qpid-proton", module="proton"),)

KIND = ActivityKind(
    kind="amqp",
    summary="job queues, requests and replies, backlogs and large messages over AMQP 1.0",
    category="messaging",
    program="amqp",
    service_kind="amqp",
    variants=get_args(Variant),
    params=AmqpParams,
    draw=draw,
    wire="amqp",
    needs=_NEEDS,
)
SERVICE = ServiceKind(
    kind="amqp",
    summary="an AMQP 1.0 broker over Qpid Proton",
    program="amqp",
    ports=(5672,),
    protocol="tcp",
    needs=_NEEDS,
)
