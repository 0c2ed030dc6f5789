"""Watching and setting devices by SNMP."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["poll", "walk", "bulk", "table", "set", "secure"]
COMMANDS = ("snmpget", "snmpwalk", "snmpbulkwalk", "snmpbulkget", "snmpset")


class SnmpParams(Params):
    """Settings of the snmp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: SnmpParams) -> Drawn:
    """Draw one management station."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 8 if variant == "poll" else 2.5, 0.7, 1, 40),
        "oids": heavy(rng, 3, 0.7, 1, 18),
        "oids_seed": rng.getrandbits(32),
        "think_scale": rng.choice((0.5, 1.0, 1.0, 3.0)),
    }


KIND = ActivityKind(
    kind="snmp",
    summary="polling, walks, tables and settings by SNMP 1, 2c and 3, with Net-SNMP's tools",
    category="infrastructure",
    program="snmp",
    service_kind="snmp",
    variants=get_args(Variant),
    params=SnmpParams,
    draw=draw,
    evidence_children=True,
    wire={
        name: "snmp.msgVersion == 3" if name == "secure" else "snmp" for name in get_args(Variant)
    },
    needs=tuple(Need("snmp", command=command) for command in COMMANDS),
)
SERVICE = ServiceKind(
    kind="snmp",
    summary="Net-SNMP's agent with the host's own network counters",
    program="snmp",
    ports=(161,),
    protocol="udp",
    needs=(Need("snmpd", command="snmpd"),),
)
