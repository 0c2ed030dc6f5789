"""Working with repositories of git."""

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

Variant = Literal["clone", "shallow", "fetch", "push", "ask"]
NEEDS = (Need("git", command="git"),)


class GitParams(Params):
    """Settings of the git activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    https_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.6, description="over HTTPS instead of git's own protocol"
    )


def draw(rng: Random, params: GitParams) -> Drawn:
    """Draw what one user does with which repository."""
    variant = pick(rng, params.variants)
    options = [] if chance(rng, 0.7) else ["-c", "protocol.version=0"]
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2.5, 0.7, 1, 10),
        "repository": rng.choice(("tools", "site", "kernel", "notes")),
        "https": chance(rng, params.https_share),
        "options": list(options),
    }


KIND = ActivityKind(
    kind="git",
    summary="repositories cloned, fetched, pushed to and asked about by git, over its own protocol "
    "and HTTPS",
    category="file-transfer",
    program="git",
    service_kind="git",
    variants=get_args(Variant),
    params=GitParams,
    draw=draw,
    evidence_children=True,
    wire="git || tls.handshake.type == 2",
    needs=NEEDS,
)
SERVICE = ServiceKind(
    kind="git",
    summary="repositories that grow: git's daemon, and git over HTTPS on the second port",
    program="git",
    ports=(9418, 8443),
    protocol="tcp",
    needs=(*NEEDS, Need("python3-aiohttp", module="aiohttp")),
)
