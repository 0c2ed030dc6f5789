"""Shopping, and the shop: the demonstration application that web attacks aim at."""

from __future__ import annotations

from random import Random
from typing import Annotated, Final, Literal, get_args

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

Variant = Literal["browse", "search", "login", "buy"]
AIOHTTP: Final = Need("python3-aiohttp", module="aiohttp")


class ShopParams(Params):
    """Settings of the shop activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: ShopParams) -> Drawn:
    """Draw one customer."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 6, 0.7, 1, 40),
        "think_scale": rng.choice((0.3, 1.0, 1.0, 3.0)),
        "keep_alive": chance(rng, 0.7),
        "tool": rng.choice(("library", "library", "curl")),
    }


KIND = ActivityKind(
    kind="shop",
    summary="customers of a web shop over plain HTTP/1.1: browsing, searching, logging in, buying",
    category="web",
    program="shop",
    service_kind="shop",
    variants=get_args(Variant),
    params=ShopParams,
    draw=draw,
    evidence_children=True,
    wire="http.response.code",
)
SERVICE = ServiceKind(
    kind="shop",
    summary="a web shop over plain HTTP, vulnerable on purpose",
    program="shop",
    ports=(80,),
    protocol="tcp",
    needs=(AIOHTTP,),
)
