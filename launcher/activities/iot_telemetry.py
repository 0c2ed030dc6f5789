"""Sensors that report to an MQTT broker."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, around, heavy, pick
from launcher.activities.mqtt import OVER_TLS, PLAIN

Variant = Literal["steady", "stream", "gateway", "sleepy", "alarm", "commanded", "secure"]
PERIODS_S = {"stream": 0.05, "gateway": 1.0}


class IotTelemetryParams(Params):
    """Settings of the iot-telemetry activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    period_s: Annotated[float, Field(gt=0, le=600)] = Field(
        1.0, description="median time between a device's reports (stream: a twentieth)"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: IotTelemetryParams) -> Drawn:
    """Draw one device."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "sensors": {"gateway": heavy(rng, 12, 0.6, 3, 60), "sleepy": rng.randint(1, 4)}.get(
            variant, 1
        ),
        "period_s": around(rng, params.period_s * PERIODS_S.get(variant, 1.0), 0.7),
        "jitter": rng.choice((0.005, 0.02, 0.1, 0.3)),
        "reports": heavy(rng, 40, 0.8, 3, 400),
        "qos": rng.choice((0, 0, 0, 1, 1, 2)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="iot-telemetry",
    summary="sensors, meters, gateways and alarms that report over MQTT, each with its own rhythm",
    category="iot",
    program="telemetry",
    service_kind="mqtt",
    variants=get_args(Variant),
    params=IotTelemetryParams,
    draw=draw,
    wire={name: OVER_TLS if name == "secure" else PLAIN for name in get_args(Variant)},
    needs=(Need("python3-paho-mqtt", module="paho"),),
)
