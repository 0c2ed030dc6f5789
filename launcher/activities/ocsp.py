"""Asking whether certificates are revoked."""

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

Variant = Literal["post", "get", "audit", "tool"]
_NEEDS = (Need("openssl", command="openssl"),)


class OcspParams(Params):
    """Settings of the ocsp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: OcspParams) -> Drawn:
    """Draw who asks, and how often."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 3, 0.7, 1, 15),
        "nonce": chance(rng, 0.4),
        "agent": rng.randrange(4),
        "think_scale": rng.choice((0.3, 1.0, 1.0, 3.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="ocsp",
    summary="certificates checked for revocation by browsers, audits and openssl (OCSP over HTTP)",
    category="infrastructure",
    program="ocsp",
    service_kind="ocsp",
    variants=get_args(Variant),
    params=OcspParams,
    draw=draw,
    evidence_children=True,
    wire="ocsp.responseStatus",
    needs=_NEEDS,
)
SERVICE = ServiceKind(
    kind="ocsp",
    summary="openssl's OCSP responder for the lab's authority",
    program="ocsp",
    ports=(80,),
    protocol="tcp",
    needs=_NEEDS,
)
