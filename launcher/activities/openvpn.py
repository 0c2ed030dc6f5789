"""Going through an OpenVPN tunnel."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, pick

Variant = Literal["udp", "tcp", "udp-cbc"]
NEEDS = (Need("openvpn", command="openvpn"), Need("", device="/dev/net/tun"))
CIPHERS = ("AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305")


class OpenvpnParams(Params):
    """Settings of the openvpn activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: OpenvpnParams) -> Drawn:
    """Draw one client."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "cipher": "AES-256-CBC" if variant == "udp-cbc" else rng.choice(CIPHERS),
        "ping_s": rng.randint(2, 10),
    }


KIND = ActivityKind(
    kind="openvpn",
    summary="another activity inside OpenVPN, over UDP and TCP, with several ciphers",
    category="tunnel",
    program="openvpn",
    service_kind="openvpn",
    variants=get_args(Variant),
    params=OpenvpnParams,
    draw=draw,
    evidence_children=True,
    tunnels=True,
    wire="openvpn",
    needs=NEEDS,
    rules_network=True,
    backends=("netns",),
)
SERVICE = ServiceKind(
    kind="openvpn",
    summary="OpenVPN on UDP and TCP with a proxy behind it",
    program="openvpn",
    ports=(1194,),
    protocol="any",
    needs=NEEDS,
    rules_network=True,
)
