"""Going through a proxy."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import (
    ActivityKind,
    Drawn,
    Params,
    ServiceKind,
    around,
    chance,
    pick,
)

Variant = Literal["socks", "socks-login", "connect", "tls-connect", "tls-socks"]
CLIENTS = ("curl", "browser", "git", "bare")
LONGEST_WAIT_S = 3.0


class ProxyParams(Params):
    """Settings of the proxy activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: ProxyParams) -> Drawn:
    """Draw the way through, the client that asks for it, and how early it does."""
    variant = pick(rng, params.variants)
    login = variant == "socks-login" or (variant != "socks" and chance(rng, 0.5))
    early = chance(rng, 0.5)
    return variant, {
        "variant": variant,
        "login": login,
        "client": pick(rng, CLIENTS),
        "ahead_s": min(around(rng, 0.2, 1.0), LONGEST_WAIT_S) if early else 0.0,
    }


KIND = ActivityKind(
    kind="proxy",
    summary="another activity through a proxy: SOCKS 5 or HTTP CONNECT, in the open and inside TLS",
    category="tunnel",
    program="proxy",
    service_kind="proxy",
    variants=get_args(Variant),
    params=ProxyParams,
    draw=draw,
    evidence_children=True,
    tunnels=True,
    wire={
        "socks": "socks.version == 5",
        "socks-login": "socks.username",
        "connect": 'tcp contains "CONNECT "',
        "tls-connect": "tls.handshake.type == 2",
        "tls-socks": "tls.handshake.type == 2",
    },
)
SERVICE = ServiceKind(
    kind="proxy",
    summary="a SOCKS 5 and HTTP CONNECT proxy, and one inside TLS",
    program="proxy",
    ports=(1080, 8443),
    protocol="tcp",
)
