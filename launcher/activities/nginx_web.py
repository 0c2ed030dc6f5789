"""Browsing and downloading from nginx."""

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
    chance,
    heavy,
    pick,
)

Variant = Literal[
    "browse-curl",
    "browse-nghttp",
    "load-nghttp",
    "browse-python",
    "download-curl",
    "download-python",
]
LOADED = ("--parallel",), ("--parallel", "--parallel-max", "6"), ("--keepalive-time", "5"), ()


class NginxWebParams(Params):
    """Settings of the nginx-web activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    plain_share: Annotated[float, Field(ge=0, le=1)] = Field(0.15, description="without TLS")
    tls12_share: Annotated[float, Field(ge=0, le=1)] = Field(0.3, description="TLS 1.2, of curl's")


def draw(rng: Random, params: NginxWebParams) -> Drawn:
    """Draw what one user visits, and how."""
    variant = pick(rng, params.variants)
    secure = variant.endswith("nghttp") or not chance(rng, params.plain_share)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2 if variant.startswith("download") else 4, 0.7, 1, 15),
        "objects": heavy(rng, 9, 0.7, 1, 40),
        "tls": secure,
        "tls12": chance(rng, params.tls12_share),
        "http2": chance(rng, 0.6),
        "curl": list(rng.choice(LOADED)),
        "posts": heavy(rng, 900, 1.2, 20, 60_000) if chance(rng, 0.3) else 0,
    }


KIND = ActivityKind(
    kind="nginx-web",
    summary="pages and downloads of sites on nginx by curl, nghttp and scripts: HTTP/1.1 and "
    "HTTP/2, plain, TLS 1.2 and TLS 1.3",
    category="web",
    program="nginx_web",
    service_kind="nginx",
    variants=get_args(Variant),
    params=NginxWebParams,
    draw=draw,
    evidence_children=True,
    wire="http.request || tls.handshake.type == 2",
    needs=(Need("curl", command="curl"), Need("nghttp2-client", command="nghttp")),
)
SERVICE = ServiceKind(
    kind="nginx",
    summary="nginx with a generated site: HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3, HTTP/1.1 plain",
    program="nginx_web",
    ports=(443, 80),
    protocol="tcp",
    needs=(Need("nginx-light", command="nginx"),),
)
