"""Browsing, calls, downloads and uploads over HTTP/3."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["browse", "resume", "api", "download", "upload"]
NEEDS = (Need("python3-aioquic", module="aioquic"),)  # not in Debian 12


class Http3Params(Params):
    """Settings of the http3 activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_session_kb: Annotated[int, Field(ge=1, le=16_384)] = Field(3_000, description="per session")


def draw(rng: Random, params: Http3Params) -> Drawn:
    """Draw what one user does."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, {"api": 8, "resume": 4}.get(variant, 3), 0.7, 1, 20),
        "objects": heavy(rng, 7, 0.7, 1, 30),
        "object_bytes": heavy(rng, 6_000, 0.6, 1_000, 40_000),
        "budget_kb": heavy(rng, 1_200, 0.8, min(50, params.max_session_kb), params.max_session_kb),
    }


KIND = ActivityKind(
    kind="http3",
    summary="pages, calls, downloads and uploads over HTTP/3 (QUIC), fresh and resumed with 0-RTT",
    category="web",
    program="http3",
    service_kind="http3",
    variants=get_args(Variant),
    params=Http3Params,
    draw=draw,
    wire='quic && tls.handshake.extensions_alpn_str == "h3"',
    needs=NEEDS,
    backends=("netns",),
)
SERVICE = ServiceKind(
    kind="http3",
    summary="HTTP/3 over QUIC",
    program="http3",
    ports=(443,),
    protocol="udp",
    needs=NEEDS,
)
