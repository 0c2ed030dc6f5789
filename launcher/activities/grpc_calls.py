"""Calling a service by gRPC."""

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

Variant = Literal["unary", "watch", "send", "talk"]
NEEDS = (Need("python3-grpcio", module="grpc"),)


class GrpcParams(Params):
    """Settings of the grpc activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    plain_share: Annotated[float, Field(ge=0, le=1)] = Field(0.4, description="without TLS")


def draw(rng: Random, params: GrpcParams) -> Drawn:
    """Draw one client: what it calls, how often and how much it says."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 7 if variant == "unary" else 2.5, 0.7, 1, 40),
        "at_once": rng.choice((1, 1, 2, 4, 8)) if variant == "unary" else rng.choice((1, 1, 2)),
        "messages": heavy(rng, 9, 0.8, 1, 100),
        "pause_s": round(min(around(rng, 0.12, 0.9), 3.0), 3),
        "sent_bytes": heavy(rng, 2_500 if variant == "send" else 120, 1.0, 5, 50_000),
        "reply_bytes": heavy(rng, 900, 1.0, 20, 60_000),
        "tls": not chance(rng, params.plain_share),
    }


KIND = ActivityKind(
    kind="grpc",
    summary="calls by gRPC: unary, streams of the server, of the client and of both, over TLS and "
    "plain HTTP/2",
    category="web",
    program="grpc_calls",
    service_kind="grpc",
    variants=get_args(Variant),
    params=GrpcParams,
    draw=draw,
    wire='tcp contains "PRI * HTTP/2.0" || tls.handshake.type == 2',
    needs=NEEDS,
)
SERVICE = ServiceKind(
    kind="grpc",
    summary="a gRPC service: over TLS on the first port, plain on the second",
    program="grpc_calls",
    ports=(50_052, 50_051),
    protocol="tcp",
    needs=NEEDS,
)
