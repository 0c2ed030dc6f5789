"""Browsing with Chromium."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import (
    ActivityKind,
    Drawn,
    Need,
    Params,
    chance,
    heavy,
    pick,
)

Variant = Literal["read", "several-sites", "reload", "text-only", "download"]


class BrowserParams(Params):
    """Settings of the browser activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    plain_share: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="without TLS")


def draw(rng: Random, params: BrowserParams) -> Drawn:
    """Draw one user's visit, and the browser's settings."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 5, 0.7, 1, 25),
        "tls": not chance(rng, params.plain_share),
        "tls12": chance(rng, 0.15),
        "http2": chance(rng, 0.8),
    }


KIND = ActivityKind(
    kind="browser",
    summary="pages with styles, pictures and scripts in Chromium, over HTTP/1.1 and HTTP/2 with "
    "nginx",
    category="web",
    program="browser",
    service_kind="nginx",
    variants=get_args(Variant),
    params=BrowserParams,
    draw=draw,
    evidence_children=True,
    wire="http.request || tls.handshake.type == 2",
    needs=(Need("chromium", command="chromium"),),
)
