"""Moving files over SSH."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, chance, heavy, pick

Variant = Literal["sftp-down", "sftp-up", "sftp-sync", "sftp-stream", "scp-down", "scp-up"]


class TransferParams(Params):
    """Settings of the transfer activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    file_kb: Annotated[float, Field(gt=0, le=16_384)] = Field(150.0, description="median file")
    max_session_kb: Annotated[int, Field(ge=1, le=65_536)] = Field(7_000, description="per session")
    wrong_password_share: Annotated[float, Field(ge=0, le=1)] = 0.08
    touch_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sessions that begin with a connection without a word"
    )


def draw(rng: Random, params: TransferParams) -> Drawn:
    """Draw what one user moves."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 2.5, 0.7, 1, 12),
        "file_bytes": heavy(rng, params.file_kb * 1_024, 1.2, 2_000, 3_000_000),
        "budget_kb": heavy(rng, 3_000, 0.9, min(20, params.max_session_kb), params.max_session_kb),
        "block_bytes": rng.choice((8_192, 16_384, 16_384, 32_768, 32_768)),
        "pipelined": rng.choice((1, 4, 16, 64, 128)),
        "list_share": round(rng.random(), 2),
        "auth": rng.choice(("password", "key")),
        "wrong_passwords": int(chance(rng, params.wrong_password_share)),
        "touch_share": params.touch_share,
    }


KIND = ActivityKind(
    kind="transfer",
    summary="files up and down by SFTP and SCP",
    category="file-transfer",
    program="transfer",
    service_kind="ssh",
    variants=get_args(Variant),
    params=TransferParams,
    draw=draw,
    wire="ssh.protocol",
)
