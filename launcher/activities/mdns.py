"""Finding things on the local network."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["once", "names", "discover", "direct", "member"]
_NEEDS = (Need("python3-zeroconf", module="zeroconf"),)


class MdnsParams(Params):
    """Settings of the mdns activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: MdnsParams) -> Drawn:
    """Draw who looks around, and how often."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 3, 0.7, 1, 20),
        "think_scale": rng.choice((0.3, 0.5, 1.0, 1.0, 2.0, 3.0, 5.0)),
    }


KIND = ActivityKind(
    kind="mdns",
    summary="things found by multicast DNS: asked for once or straight, or as a full member",
    category="infrastructure",
    program="mdns",
    service_kind="mdns",
    variants=get_args(Variant),
    params=MdnsParams,
    draw=draw,
    wire="mdns",
    needs=_NEEDS,
)
SERVICE = ServiceKind(
    kind="mdns",
    summary="a responder with printers, speakers and the like (python-zeroconf)",
    program="mdns",
    ports=(5353,),
    protocol="udp",
    needs=_NEEDS,
)
