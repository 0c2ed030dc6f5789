"""Chats, tickers, calls and shared editing over WebSocket."""

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

Variant = Literal["chat", "ticker", "calls", "edit", "upload"]
NEEDS = (Need("python3-websockets", module="websockets"),)


class WebsocketParams(Params):
    """Settings of the websocket activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    plain_share: Annotated[float, Field(ge=0, le=1)] = Field(0.25, description="without TLS")
    rate_hz: Annotated[float, Field(gt=0, le=50)] = Field(
        2.0, description="median rate of what a ticker's server says"
    )


def draw(rng: Random, params: WebsocketParams) -> Drawn:
    """Draw one user of the application."""
    variant = pick(rng, params.variants)
    rate_hz = params.rate_hz if variant == "ticker" else 0.5
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 10, 0.8, 2, 80),
        "rate_hz": min(around(rng, rate_hz, 0.8), 50.0),
        "topics": heavy(rng, 5, 0.8, 1, 40),
        "tls": not chance(rng, params.plain_share),
    }


KIND = ActivityKind(
    kind="websocket",
    summary="chats, tickers, remote calls, shared editing and uploads over WebSocket, mostly with "
    "TLS",
    category="web",
    program="websocket",
    service_kind="websocket",
    variants=get_args(Variant),
    params=WebsocketParams,
    draw=draw,
    wire="websocket || tls.handshake.type == 2",
    needs=NEEDS,
)
SERVICE = ServiceKind(
    kind="websocket",
    summary="a WebSocket application: over TLS on the first port, plain on the second",
    program="websocket",
    ports=(8443, 8080),
    protocol="tcp",
    needs=NEEDS,
)
