"""Getting a file out of a network, and the intruder's server that takes it."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal[
    "dns-txt", "dns-cname", "dns-a", "https-bulk", "https-drip", "https-curl", "icmp", "icmp-large"
]
# What fits: a name of 255 letters, a request, a ping of the usual size, a packet.
PIECES = {"dns": (20, 120), "https": (2_000, 60_000), "icmp": (20, 48), "icmp-large": (400, 1_400)}


class ExfiltrateParams(Params):
    """Settings of the exfiltrate activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_kb: Annotated[int, Field(ge=1, le=1_900)] = Field(500, description="size of the file")


def draw(rng: Random, params: ExfiltrateParams) -> Drawn:
    """Draw the file, the way and the pace."""
    variant = pick(rng, params.variants)
    way = variant.partition("-")[0]
    piece = rng.randint(*PIECES[variant if variant in PIECES else way])
    messages = heavy(rng, 12 if way == "https" else 40, 0.6, 2, 400)
    return variant, {
        "variant": variant,
        "way": way,
        "piece": piece,
        "bytes": min(messages * piece, params.max_kb * 1_000),
        "rate_s": round(rng.uniform(3.0, 12.0) if way == "https" else rng.uniform(8.0, 50.0), 1),
    }


KIND = ActivityKind(
    kind="exfiltrate",
    summary="a file on its way out in DNS names (a tunnel), in HTTPS requests or in pings",
    category="attack",
    program="exfiltrate",
    service_kind="drop",
    variants=get_args(Variant),
    params=ExfiltrateParams,
    draw=draw,
    malicious=True,
    attack_technique="T1048",
    effect="the intruder's server has the whole file",
    evidence_children=True,
    wire={
        "dns-txt": "dns.qry.type == 16",
        "dns-cname": "dns.qry.type == 5",
        "dns-a": "dns.qry.type == 1",
        "https-bulk": "tls.handshake.type == 2",
        "https-drip": "tls.handshake.type == 2",
        "https-curl": "tls.handshake.type == 2",
        "icmp": "icmp.type == 8",
        "icmp-large": "icmp.type == 8",
    },
)
SERVICE = ServiceKind(
    kind="drop",
    summary="an intruder's server: files and beacons by DNS, HTTP, HTTPS and ICMP",
    program="drop",
    ports=(53, 80, 443),
    protocol="any",
    needs=(Need("python3-aiohttp", module="aiohttp"),),
)
