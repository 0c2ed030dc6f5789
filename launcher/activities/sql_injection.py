"""Reading a shop's database through its search."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, chance, pick

Variant = Literal["union", "blind", "sqlmap"]


class SqlInjectionParams(Params):
    """Settings of the sql-injection activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    max_rate_s: Annotated[float, Field(gt=0, le=40)] = Field(30.0, description="questions a second")


def draw(rng: Random, params: SqlInjectionParams) -> Drawn:
    """Draw one attacker."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "rate_s": round(min(rng.uniform(8.0, 30.0), params.max_rate_s), 2),
        "technique": rng.choice(("U", "U", "BU", "EU")),
        "keep_alive": chance(rng, 0.7),
    }


KIND = ActivityKind(
    kind="sql-injection",
    summary="SQL injection into a shop's search: by hand (UNION), blind by halving, and by sqlmap",
    category="attack",
    program="sql_injection",
    service_kind="shop",
    variants=get_args(Variant),
    params=SqlInjectionParams,
    draw=draw,
    malicious=True,
    attack_technique="T1190",
    effect="card numbers were read from a table that search should not reach",
    evidence_children=True,
    wire='http.request.uri contains "/search"',
    needs=(Need("sqlmap", command="sqlmap"),),
)
