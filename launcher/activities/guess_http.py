"""Guessing a password of a web shop."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, chance, heavy, pick

Variant = Literal["steady", "reconnecting", "hydra"]


class GuessHttpParams(Params):
    """Settings of the guess-http activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_rate_s: Annotated[float, Field(gt=0, le=10)] = Field(10.0, description="guesses a second")


def draw(rng: Random, params: GuessHttpParams) -> Drawn:
    """Draw one attacker: the list, the speed and the program."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "strange": heavy(rng, 8, 0.7, 1, 60),
        "rate_s": round(min(rng.uniform(2.0, 10.0), params.max_rate_s), 2),
        "parallel": rng.choice((1, 2, 4)),
        "keep_alive": chance(rng, 0.7),
    }


KIND = ActivityKind(
    kind="guess-http",
    summary="password guessing at a web login, by requests on one or many connections and by hydra",
    category="attack",
    program="guess_http",
    service_kind="shop",
    variants=get_args(Variant),
    params=GuessHttpParams,
    draw=draw,
    malicious=True,
    attack_technique="T1110.001",
    effect="the shop took a password",
    evidence_children=True,
    wire='http.request.method == "POST" && http.request.uri == "/login"',
    needs=(Need("hydra", command="hydra"),),
)
