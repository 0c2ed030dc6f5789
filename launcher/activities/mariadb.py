"""A relational database: MariaDB."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["application", "report", "import", "requests", "console", "tls"]


class MariadbParams(Params):
    """Settings of the mariadb activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: MariadbParams) -> Drawn:
    """Draw what one application or administrator does."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 3 if variant in ("console", "report") else 7, 0.7, 1, 40),
        "think_scale": rng.choice((0.2, 0.5, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="mariadb",
    summary="queries, transactions, reports and imports on MariaDB, by driver and command line",
    category="database",
    program="db_mariadb",
    service_kind="mariadb",
    variants=get_args(Variant),
    params=MariadbParams,
    draw=draw,
    evidence_children=True,
    wire={
        name: "tls.handshake.type == 2" if name == "tls" else "mysql.packet_length"
        for name in get_args(Variant)
    },
    needs=(
        Need("mariadb-client-core", command="mariadb"),
        Need("python3-pymysql", module="pymysql"),
    ),
)
SERVICE = ServiceKind(
    kind="mariadb",
    summary="MariaDB with a small shop in it, plain and TLS on the same port",
    program="db_mariadb",
    ports=(3306,),
    protocol="tcp",
    needs=(
        Need("mariadb-server-core", command="mariadbd"),
        Need("mariadb-server-core", command="mariadb-install-db"),
    ),
)
