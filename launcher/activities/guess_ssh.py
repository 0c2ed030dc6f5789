"""Guessing a password of an SSH login."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, chance, heavy, pick

Variant = Literal["own", "hydra", "medusa"]


class GuessSshParams(Params):
    """Settings of the guess-ssh activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    knowing_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="sessions whose list has the password"
    )


def draw(rng: Random, params: GuessSshParams) -> Drawn:
    """Draw one attacker."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "guesses": heavy(rng, 8, 0.6, 2, 60),
        "rate_s": round(rng.uniform(1.0, 5.0), 2),
        "parallel": rng.choice((1, 2, 4)),
        "knows": chance(rng, params.knowing_share),
    }


KIND = ActivityKind(
    kind="guess-ssh",
    summary="password guessing at an SSH login, by hydra, by medusa and by a client of our own",
    category="attack",
    program="guess_ssh",
    service_kind="ssh",
    variants=get_args(Variant),
    params=GuessSshParams,
    draw=draw,
    malicious=True,
    attack_technique="T1110.001",
    effect="a login with a guessed password",
    evidence_children=True,
    wire="ssh.protocol",
    needs=(Need("hydra", command="hydra"), Need("medusa", command="medusa")),
)
