"""Setting clocks by NTP."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["simple", "tool", "once", "daemon", "secure"]
_CHRONY = Need("chrony", command="chronyd")


class NtpParams(Params):
    """Settings of the ntp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: NtpParams) -> Drawn:
    """Draw one client."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 4 if variant in ("simple", "tool") else 1.3, 0.6, 1, 12),
        "stay_s": round(rng.uniform(4, 30), 1),
        "think_scale": rng.choice((0.5, 1.0, 2.0, 4.0)),
    }


KIND = ActivityKind(
    kind="ntp",
    summary="clocks set by NTP: chrony as daemon and once, ntpdig, simple devices, and with NTS",
    category="infrastructure",
    program="ntp",
    service_kind="ntp",
    variants=get_args(Variant),
    params=NtpParams,
    draw=draw,
    evidence_children=True,
    wire="ntp.flags.mode == 4",
    needs=(_CHRONY, Need("ntpsec-ntpdig", command="ntpdig")),
)
SERVICE = ServiceKind(
    kind="ntp",
    summary="chrony: NTP on the first port (UDP), the keys for NTS on the second (TCP)",
    program="ntp",
    ports=(123, 4460),
    protocol="any",
    needs=(_CHRONY,),
)
