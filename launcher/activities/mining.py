"""Mining cryptocurrency in a pool."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, ServiceKind, heavy, pick

Variant = Literal["steady", "fast", "patient", "proxy", "hopper", "shy"]
Transport = Literal["tcp", "tls"]
SLOW_COINS = ("BTC", "BCH", "LTC", "DOGE", "RVN")
FAST_COINS = ("DGB", "ALT", "KAS")
HASHES_S = {"patient": 500.0, "proxy": 5_000.0}


class MiningParams(Params):
    """Settings of the mining activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    transports: Annotated[tuple[Transport, ...], Field(min_length=1)] = get_args(Transport)
    max_hashes_s: Annotated[int, Field(ge=10, le=100_000)] = Field(
        6_000, description="bound on the hash rate; 4,000 is about a hundredth of a core"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.03, description="sessions that begin by looking whether the pool answers"
    )


def draw(rng: Random, params: MiningParams) -> Drawn:
    """Draw one miner: its coin, speed and habits."""
    variant = pick(rng, params.variants)
    hopping = variant == "hopper"
    return variant, {
        "variant": variant,
        "coin": rng.choice(FAST_COINS if variant == "fast" else SLOW_COINS + FAST_COINS),
        "tls": pick(rng, params.transports) == "tls",
        "hashes_s": heavy(rng, HASHES_S.get(variant, 2_500.0), 0.5, 10, params.max_hashes_s),
        "workers": rng.randint(2, 8) if variant == "proxy" else 1,
        "actions": rng.randint(2, 4) if hopping else 1,
        "stay_s": round(rng.uniform(2.5, 9.0), 1) if hopping else 0,
        "duty": round(rng.uniform(0.3, 0.7), 2) if variant == "shy" else 1.0,
        "period_s": round(rng.uniform(3.0, 8.0), 1),
        "touch_share": params.touch_share,
    }


class PoolParams(Params):
    """Settings of the pool service."""

    share_s: Annotated[float, Field(gt=0, le=600)] = Field(
        3.0, description="time between shares that the pool's difficulty aims at"
    )


KIND = ActivityKind(
    kind="mining",
    summary="Stratum v1 miners that search and submit shares, over TCP and TLS",
    category="cryptomining",
    program="mining",
    service_kind="pool",
    variants=get_args(Variant),
    params=MiningParams,
    draw=draw,
    malicious=True,
    attack_technique="T1496",
    effect="the pool accepted at least one share",
    wire="tcp.port == 3333 && tcp.len > 0 || tls.handshake",
)
SERVICE = ServiceKind(
    kind="pool",
    summary="a Stratum v1 pool, TCP on the first port, TLS on the second",
    program="mining",
    ports=(3333, 3334),
    protocol="tcp",
    params=PoolParams,
)
