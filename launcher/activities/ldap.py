"""A directory of people, groups and hosts."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal[
    "login", "address-book", "address-book-tls", "synchronise", "change", "tools", "tools-tls"
]


class LdapParams(Params):
    """Settings of the ldap activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: LdapParams) -> Drawn:
    """Draw what one program or administrator looks up."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2.5 if variant.startswith(("tools", "sync")) else 5, 0.7, 1, 30),
        "think_scale": rng.choice((0.2, 0.5, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="ldap",
    summary="logins, address books, synchronisation and changes over LDAP, StartTLS and LDAPS",
    category="infrastructure",
    program="ldap",
    service_kind="ldap",
    variants=get_args(Variant),
    params=LdapParams,
    draw=draw,
    evidence_children=True,
    wire={
        name: "tls.handshake.type == 2" if name.endswith("tls") else "ldap"
        for name in get_args(Variant)
    },
    needs=(
        Need("ldap-utils", command="ldapsearch"),
        Need("python3-ldap3", module="ldap3"),
    ),
)
SERVICE = ServiceKind(
    kind="ldap",
    summary="OpenLDAP's slapd: LDAP with StartTLS on the first port, LDAPS on the second",
    program="ldap",
    ports=(389, 636),
    protocol="tcp",
    needs=(Need("slapd", command="slapd"),),
)
