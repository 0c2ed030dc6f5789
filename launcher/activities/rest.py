"""Using a JSON API."""

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

Variant = Literal["poll", "dashboard", "long-poll", "events", "edit", "crawl"]
NEEDS = (Need("python3-aiohttp", module="aiohttp"),)


class RestParams(Params):
    """Settings of the rest activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    plain_share: Annotated[float, Field(ge=0, le=1)] = Field(0.25, description="without TLS")
    period_s: Annotated[float, Field(gt=0, le=600)] = Field(
        1.5, description="median time between the requests of programs that poll by a timer"
    )


def draw(rng: Random, params: RestParams) -> Drawn:
    """Draw one program that uses the API."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 8, 0.8, 1, 60),
        "timed": variant in ("poll", "dashboard") and chance(rng, 0.7),
        "period_s": min(around(rng, params.period_s, 0.8), 600.0),
        "tls": not chance(rng, params.plain_share),
    }


class RestServiceParams(Params):
    """Settings of the rest service."""

    think_s: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="median time the server needs for an answer"
    )


KIND = ActivityKind(
    kind="rest",
    summary="a JSON API used by programs and people: polling with entity tags, long polling, "
    "event streams, editing; HTTP/1.1, mostly over TLS",
    category="web",
    program="rest",
    service_kind="rest",
    variants=get_args(Variant),
    params=RestParams,
    draw=draw,
    evidence_children=True,
    wire="http.request || tls.handshake.type == 2",
    needs=(*NEEDS, Need("curl", command="curl")),
)
SERVICE = ServiceKind(
    kind="rest",
    summary="a JSON API on aiohttp: HTTP/1.1, over TLS on the first port, plain on the second",
    program="rest",
    ports=(8443, 8080),
    protocol="tcp",
    params=RestServiceParams,
    needs=NEEDS,
)
