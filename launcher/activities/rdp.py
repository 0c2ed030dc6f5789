"""Working on and watching remote desktops by RDP."""

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

Variant = Literal["work", "work-nla", "work-old", "type", "watch", "slow-line"]
SECURITY = {"work-nla": "nla", "type": "nla", "work-old": "rdp"}
DEEDS = {"type": "type", "watch": "watch", "slow-line": "work"}
SCREEN = (
    Need("tigervnc-standalone-server", command="Xtigervnc"),
    Need("python3-xlib", module="Xlib"),
)


class RdpParams(Params):
    """Settings of the rdp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    stay_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        20.0, description="median of how long somebody watches"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: RdpParams) -> Drawn:
    """Draw one user and the client's settings."""
    variant = pick(rng, params.variants)
    slow = variant == "slow-line"
    return variant, {
        "variant": variant,
        "deed": DEEDS.get(variant, "work"),
        "security": SECURITY.get(variant, "tls"),
        "actions": heavy(rng, 8, 0.6, 1, 40),
        "bits": 16 if slow else rng.choice((32, 32, 24, 16)),
        "codec": "" if slow or variant == "work-old" else rng.choice(("gfx", "rfx", "")),
        "line": "modem" if slow else rng.choice(("lan", "wan", "broadband-high", "auto")),
        "key_s": around(rng, 0.12, 0.4),
        "stay_s": around(rng, params.stay_s, 0.7),
        "touch_share": params.touch_share,
    }


def _agreed(security: int) -> str:
    """A connection on RDP's port for which this security was negotiated."""
    return f"rdp.negReq.selectedProtocol == {security}"


# tshark looks for RDP on one port only: the negotiation's answer as it stands, with CredSSP.
_AGREED_ON_NLA = (
    "tcp.payload[0:6] == 03:00:00:13:0e:d0 && tcp.payload[11:1] == 02 && tcp.payload[15:1] == 02"
)

KIND = ActivityKind(
    kind="rdp",
    summary="work on a remote desktop, writing and watching by RDP with TLS, network level "
    "authentication and RDP's own security: xfreerdp",
    category="interactive",
    program="rdp",
    service_kind="rdp",
    variants=get_args(Variant),
    params=RdpParams,
    draw=draw,
    evidence_children=True,
    wire={
        "work": _agreed(1),
        "work-nla": _AGREED_ON_NLA,
        "work-old": _agreed(0),
        "type": _AGREED_ON_NLA,
        "watch": _agreed(1),
        "slow-line": _agreed(1),
    },
    needs=(Need("freerdp2-x11", command="xfreerdp"), *SCREEN),
)
SERVICE = ServiceKind(
    kind="rdp",
    summary="FreeRDP's servers of a desktop that shows text, windows and pictures",
    program="rdp",
    ports=(3389, 3390),
    protocol="tcp",
    needs=(Need("freerdp2-shadow-x11", command="freerdp-shadow-cli"), *SCREEN),
)
