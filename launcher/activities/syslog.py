"""Sending log messages to a collector."""

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

Variant = Literal["datagrams", "stream", "tls", "library", "tool"]


class SyslogParams(Params):
    """Settings of the syslog activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    burst: Annotated[float, Field(ge=1, le=100)] = Field(2.0, description="median messages at once")
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: SyslogParams) -> Drawn:
    """Draw one machine and how much it logs."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 3 if variant == "tool" else 8, 0.7, 1, 50),
        "burst": around(rng, params.burst, 0.5),
        "think_scale": rng.choice((0.3, 1.0, 1.0, 3.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="syslog",
    summary="log messages to a collector in both formats: UDP, TCP, TLS, logging and logger",
    category="infrastructure",
    program="syslog",
    service_kind="syslog",
    variants=get_args(Variant),
    params=SyslogParams,
    draw=draw,
    evidence_children=True,
    wire={
        "datagrams": "syslog && udp.dstport == 514",
        "stream": "tcp.dstport == 514 && tcp.len > 0",
        "tls": "tls.handshake.type == 2 && tcp.srcport == 6514",
        "library": "syslog || tcp.dstport == 514 && tcp.len > 0",
        "tool": "syslog || tcp.dstport == 514 && tcp.len > 0",
    },
    needs=(Need("bsdutils", command="logger"),),
)
SERVICE = ServiceKind(
    kind="syslog",
    summary="rsyslog as a collector: UDP and TCP on the first port, TLS on the second",
    program="syslog",
    ports=(514, 6514),
    protocol="any",
    needs=(Need("rsyslog", command="rsyslogd"), Need("rsyslog-openssl", command="rsyslogd")),
)
