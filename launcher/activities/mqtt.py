"""Messages through an MQTT broker."""

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

Variant = Literal["chat", "chat-tls", "notify", "tools", "tools-tls"]
OVER_TLS = "tls.handshake.type == 2 && tcp.srcport == 8883"
PLAIN = "mqtt.msgtype == 3"


class MqttParams(Params):
    """Settings of the mqtt activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    payload_bytes: Annotated[float, Field(gt=0, le=100_000)] = Field(250.0, description="median")
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: MqttParams) -> Drawn:
    """Draw what one user says, and how surely."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 4 if variant.startswith("tools") else 8, 0.7, 1, 40),
        "payload_bytes": around(rng, params.payload_bytes, 0.9),
        "qos": rng.choice((0, 0, 1, 1, 2)),
        "think_scale": rng.choice((0.3, 1.0, 1.0, 3.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="mqtt",
    summary="publishing and subscribing over MQTT 3.1 to 5, plain and TLS, paho and mosquitto_pub",
    category="messaging",
    program="mqtt",
    service_kind="mqtt",
    variants=get_args(Variant),
    params=MqttParams,
    draw=draw,
    evidence_children=True,
    wire={name: OVER_TLS if name.endswith("tls") else PLAIN for name in get_args(Variant)},
    needs=(
        Need("mosquitto-clients", command="mosquitto_pub"),
        Need("python3-paho-mqtt", module="paho"),
    ),
)
SERVICE = ServiceKind(
    kind="mqtt",
    summary="the broker mosquitto, plain and TLS",
    program="mqtt",
    ports=(1883, 8883),
    protocol="tcp",
    needs=(Need("mosquitto", command="mosquitto"),),
)
