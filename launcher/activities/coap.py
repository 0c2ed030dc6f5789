"""Small devices over CoAP."""

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
    around,
    heavy,
    pick,
)

Variant = Literal["read", "device", "observe", "blocks", "secure", "tcp"]


class CoapParams(Params):
    """Settings of the coap activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    file_bytes: Annotated[float, Field(gt=0, le=50_000)] = Field(
        4_000.0, description="median of what is moved in blocks"
    )


def draw(rng: Random, params: CoapParams) -> Drawn:
    """Draw one client."""
    variant = pick(rng, params.variants)
    many = {"device": 15.0, "observe": 1.3, "blocks": 1.5}
    return variant, {
        "variant": variant,
        "actions": heavy(rng, many.get(variant, 5.0), 0.7, 1, 120),
        "file_bytes": around(rng, params.file_bytes, 0.5),
        "confirmable": rng.choice((0.0, 0.5, 1.0, 1.0)),
        "think_scale": rng.choice((0.3, 0.5, 1.0, 2.0)),
    }


KIND = ActivityKind(
    kind="coap",
    summary="devices read, set and observed over CoAP: UDP, in blocks, DTLS and TCP",
    category="iot",
    program="coap",
    service_kind="coap",
    variants=get_args(Variant),
    params=CoapParams,
    draw=draw,
    evidence_children=True,
    wire={
        **dict.fromkeys(get_args(Variant), "udp && coap.code"),
        "secure": "dtls.handshake.type == 2",
        "tcp": "tcp && coap.code",
    },
    needs=(Need("libcoap3-bin", command="coap-client-openssl"),),
)
SERVICE = ServiceKind(
    kind="coap",
    summary="libcoap's server: UDP and TCP on the first port, DTLS on the second",
    program="coap",
    ports=(5683, 5684),
    protocol="any",
    needs=(Need("libcoap3-bin", command="coap-server-openssl"),),
)
