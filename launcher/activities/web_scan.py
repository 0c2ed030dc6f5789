"""Looking for what a web server should not serve."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, chance, heavy, pick

Variant = Literal["requests", "gobuster", "dirb"]


class WebScanParams(Params):
    """Settings of the web-scan activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_rate_s: Annotated[float, Field(gt=0, le=60)] = Field(50.0, description="requests a second")


def draw(rng: Random, params: WebScanParams) -> Drawn:
    """Draw one scanner."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "strange": heavy(rng, 30, 0.8, 4, 300),
        "rate_s": round(min(rng.uniform(10.0, 50.0), params.max_rate_s), 2),
        "method": rng.choice(("GET", "GET", "HEAD")),
        "keep_alive": chance(rng, 0.7),
    }


KIND = ActivityKind(
    kind="web-scan",
    summary="a scan of a web server for hidden folders, by gobuster, by dirb and by requests",
    category="attack",
    program="web_scan",
    service_kind="shop",
    variants=get_args(Variant),
    params=WebScanParams,
    draw=draw,
    malicious=True,
    attack_technique="T1595.003",
    effect="a folder was found that should not be there",
    evidence_children=True,
    wire="http.response.code == 404",
    needs=(Need("gobuster", command="gobuster"), Need("dirb", command="dirb")),
)
