"""Web browsing, applications, downloads and uploads."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from launcher.activities.kind import ActivityKind, Drawn, Params, ServiceKind, chance, heavy, pick
from topologies.faults import fault

Variant = Literal["browse-h1", "browse-h2", "app-h2", "api", "download", "upload"]
Version = Literal["h1", "h2"]
OVER_H2 = ("browse-h2", "app-h2")


class WebParams(Params):
    """Settings of the web activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    versions: Annotated[tuple[Version, ...], Field(min_length=1)] = get_args(Version)
    max_object_kb: Annotated[int, Field(ge=1, le=16_384)] = Field(
        2_000, description="largest object"
    )
    max_session_kb: Annotated[int, Field(ge=1, le=65_536)] = Field(6_000, description="per session")
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.04, description="sessions that begin with a speculative connection without a request"
    )

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if not self.usable:
            raise fault(
                expected=f"a variant over {' or '.join(self.versions)}",
                got=", ".join(self.variants),
                remedy="add a version or a variant (browse-h2 and app-h2 are the h2 ones)",
            )
        return self

    @property
    def usable(self) -> tuple[str, ...]:
        """Variants over one of the versions."""
        return tuple(v for v in self.variants if ("h2" if v in OVER_H2 else "h1") in self.versions)


def draw(rng: Random, params: WebParams) -> Drawn:
    """Draw what one user does."""
    variant = pick(rng, params.usable)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 1.4 if variant in ("download", "upload") else 4, 0.7, 1, 15),
        "objects": heavy(rng, 5, 0.7, 1, 20),
        "connections": rng.choice((1, 2, 2, 3, 4, 6)),
        "object_bytes": heavy(rng, 6_000, 0.6, 1_000, 40_000),
        "think_scale": rng.choice((0.5, 0.5, 1.0, 4.0)),
        "budget_kb": heavy(rng, 1_500, 1.0, min(50, params.max_session_kb), params.max_session_kb),
        "max_object_kb": params.max_object_kb,
        "keep_alive": chance(rng, 0.6),
        "tool": rng.choice(("library", "curl")),
        "versions": list(params.versions),
        "touch_share": params.touch_share,
    }


class WebServiceParams(Params):
    """Settings of the web service."""

    think_s: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="median time the server needs for an answer"
    )


KIND = ActivityKind(
    kind="web",
    summary="pages, applications, downloads and uploads over HTTP/1.1 and HTTP/2 with TLS 1.3",
    category="web",
    program="web",
    service_kind="web",
    variants=get_args(Variant),
    params=WebParams,
    draw=draw,
    evidence_children=True,
    wire="tls.handshake.type == 2",
)
SERVICE = ServiceKind(
    kind="web",
    summary="HTTP/1.1 and HTTP/2 over TLS 1.3",
    program="web",
    ports=(443,),
    protocol="tcp",
    params=WebServiceParams,
)
