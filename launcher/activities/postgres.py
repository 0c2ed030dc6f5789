"""A relational database: PostgreSQL."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["application", "report", "copy", "requests", "console", "benchmark"]


class PostgresParams(Params):
    """Settings of the postgres activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    tls_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="sessions that ask for TLS inside the protocol"
    )
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: PostgresParams) -> Drawn:
    """Draw what one application or administrator does."""
    variant = pick(rng, params.variants)
    few = variant in ("console", "report", "benchmark")
    tls = rng.choice(("prefer", "require"))
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2.5 if few else 7, 0.7, 1, 40),
        "sslmode": tls if rng.random() < params.tls_share else "disable",
        "think_scale": rng.choice((0.2, 0.5, 1.0, 2.0)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="postgres",
    summary="queries, transactions, reports and copies on PostgreSQL, by driver, psql and pgbench",
    category="database",
    program="db_postgres",
    service_kind="postgres",
    variants=get_args(Variant),
    params=PostgresParams,
    draw=draw,
    evidence_children=True,
    wire="pgsql",
    needs=(
        Need("postgresql-client", command="psql"),
        Need("python3-psycopg", module="psycopg"),
    ),
    # proot starts programs from /tmp, from which Docker hosts start none.
    backends=("netns",),
)
SERVICE = ServiceKind(
    kind="postgres",
    summary="PostgreSQL with a small shop in it, plain and TLS on the same port",
    program="db_postgres",
    ports=(5432,),
    protocol="tcp",
    needs=(Need("postgresql", command="pg_createcluster"), Need("proot", command="proot")),
)
