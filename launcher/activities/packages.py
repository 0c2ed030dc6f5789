"""Keeping up with an archive of packages."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["apt-update", "apt-download", "curl-mirror", "script-fetch", "script-browse"]


class PackagesParams(Params):
    """Settings of the packages activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_packages: Annotated[int, Field(ge=1, le=200)] = Field(40, description="at once")


def draw(rng: Random, params: PackagesParams) -> Drawn:
    """Draw what one machine fetches."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 1.6, 0.6, 1, 5),
        "packages": heavy(rng, 6, 0.9, 1, params.max_packages),
    }


KIND = ActivityKind(
    kind="packages",
    summary="an archive's index and packages fetched by apt, curl and scripts over HTTP/1.1",
    category="file-transfer",
    program="packages",
    service_kind="packages",
    variants=get_args(Variant),
    params=PackagesParams,
    draw=draw,
    evidence_children=True,
    wire='http.request.uri contains "Packages" || http.request.uri contains "pool"'
    ' || http.request.uri contains "InRelease"',
    needs=(Need("apt", command="apt-get"), Need("curl", command="curl")),
)
SERVICE = ServiceKind(
    kind="packages",
    summary="an archive of Debian packages on nginx",
    program="packages",
    ports=(80,),
    protocol="tcp",
    needs=(Need("nginx-light", command="nginx"),),
)
