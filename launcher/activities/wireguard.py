"""Going through a WireGuard tunnel."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, pick

Variant = Literal["plain", "keep-alive", "shared-key"]
NEEDS = (
    Need("wireguard-go", command="wireguard-go"),
    Need("wireguard-tools", command="wg"),
    Need("iproute2", command="ip"),
    Need("", device="/dev/net/tun"),
)


class WireguardParams(Params):
    """Settings of the wireguard activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: WireguardParams) -> Drawn:
    """Draw one client."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "keep_alive_s": rng.randint(1, 25),
        "mtu": rng.choice((1_280, 1_380, 1_412, 1_420)),
    }


KIND = ActivityKind(
    kind="wireguard",
    summary="another activity inside WireGuard, by wireguard-go in user space",
    category="tunnel",
    program="wireguard",
    service_kind="wireguard",
    variants=get_args(Variant),
    params=WireguardParams,
    draw=draw,
    evidence_children=True,
    tunnels=True,
    wire="wg.type == 4",
    needs=NEEDS,
    rules_network=True,
    backends=("netns",),
)
SERVICE = ServiceKind(
    kind="wireguard",
    summary="a WireGuard server with a proxy behind it",
    program="wireguard",
    ports=(51820,),
    protocol="udp",
    needs=NEEDS,
    rules_network=True,
)
