"""Reporting to a command-and-control server."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, heavy, pick

Variant = Literal["http", "https", "dns"]


class BeaconParams(Params):
    """Settings of the beacon activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    interval_s: Annotated[float, Field(ge=0.2, le=600)] = Field(
        1.5, description="median time between two reports"
    )


def draw(rng: Random, params: BeaconParams) -> Drawn:
    """Draw one program's rhythm."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "interval_s": round(params.interval_s * rng.lognormvariate(0, 0.4), 2),
        "jitter": rng.choice((0.0, 0.1, 0.2, 0.3, 0.5)),
        "reports": heavy(rng, 12, 0.7, 3, 500),
    }


KIND = ActivityKind(
    kind="beacon",
    summary="command and control: reports at an interval with jitter, by HTTP, HTTPS or DNS",
    category="attack",
    program="beacon",
    service_kind="drop",
    variants=get_args(Variant),
    params=BeaconParams,
    draw=draw,
    malicious=True,
    attack_technique="T1071",
    effect="the server answered, and took the results of its tasks",
    wire={
        "http": "http.request",
        "https": "tls.handshake.type == 2",
        "dns": "dns.flags.response == 1",
    },
)
