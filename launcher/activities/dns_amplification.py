"""Using a name server to amplify."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, heavy, pick
from topologies.schema import Name

Variant = Literal["TXT", "MX", "NS"]


class DnsAmplificationParams(Params):
    """Settings of the dns-amplification activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    victim: Name | None = Field(
        None, description="host of the lab whose address is forged; null is the attacker's own"
    )
    max_queries: Annotated[int, Field(ge=1, le=600)] = Field(200, description="per session")


def draw(rng: Random, params: DnsAmplificationParams) -> Drawn:
    """Draw one attacker."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "queries": heavy(rng, 60, 0.6, 1, params.max_queries),
        "rate_s": round(rng.uniform(5.0, 50.0), 1),
        "victim": params.victim,
    }


KIND = ActivityKind(
    kind="dns-amplification",
    summary="short DNS questions with long answers, sent again and again with a victim's address",
    category="attack",
    program="dns_amplification",
    service_kind="dns",
    variants=get_args(Variant),
    params=DnsAmplificationParams,
    draw=draw,
    malicious=True,
    attack_technique="T1498.002",
    effect="the answers are at least twice as long as the questions",
    wire="dns.flags.response == 0 && udp.srcport >= 20000 && udp.srcport <= 32000",
)
