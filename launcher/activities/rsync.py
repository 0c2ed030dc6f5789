"""Keeping trees of files alike by rsync."""

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

Variant = Literal["list", "pull", "pull-again", "push", "push-again"]
NEEDS = (Need("rsync", command="rsync"),)


class RsyncParams(Params):
    """Settings of the rsync activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_push_kb: Annotated[int, Field(ge=20, le=16_384)] = Field(
        4_000, description="largest tree that is pushed"
    )


def draw(rng: Random, params: RsyncParams) -> Drawn:
    """Draw what one user keeps up to date, and with which options."""
    variant = pick(rng, params.variants)
    options = [
        option
        for option, share in (
            ("-z", 0.4),
            ("-t", 0.7),
            ("-c", 0.2),
            ("--whole-file", 0.15),
            ("--partial", 0.2),
            ("--delete", 0.1),
        )
        if chance(rng, share)
    ]
    if chance(rng, 0.3):
        options.append(f"--bwlimit={rng.choice((200, 500, 2_000))}")
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2.5, 0.6, 1, 8),
        "module": rng.choice(("docs", "media", "mirror")),
        "options": list(options),
        "budget_kb": heavy(rng, 900, 1.0, 20, params.max_push_kb),
    }


KIND = ActivityKind(
    kind="rsync",
    summary="trees of files listed, pulled, pushed and brought up to date by differences: the "
    "daemon protocol",
    category="file-transfer",
    program="rsync",
    service_kind="rsync",
    variants=get_args(Variant),
    params=RsyncParams,
    draw=draw,
    evidence_children=True,
    wire="rsync",
    needs=NEEDS,
)
SERVICE = ServiceKind(
    kind="rsync",
    summary="rsync's daemon protocol over three trees and an inbox",
    program="rsync",
    ports=(873,),
    protocol="tcp",
    needs=NEEDS,
)
