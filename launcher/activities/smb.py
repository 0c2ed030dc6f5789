"""Using shared folders by SMB."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal["look", "get", "put", "mirror", "script-read", "script-write"]
NEEDS = (Need("python3-impacket", module="impacket"),)


class SmbParams(Params):
    """Settings of the smb activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    file_kb: Annotated[float, Field(gt=0, le=2_048)] = Field(
        40.0, description="median file that is written"
    )
    max_session_kb: Annotated[int, Field(ge=1, le=65_536)] = Field(5_000, description="per session")


def draw(rng: Random, params: SmbParams) -> Drawn:
    """Draw what one user does with which share."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 3, 0.7, 1, 12),
        "share": rng.choice(("docs", "media", "home")),
        "dialect": rng.choice(("SMB2", "SMB3", "SMB3")),
        "file_bytes": heavy(rng, params.file_kb * 1_024, 1.0, 200, 2_000_000),
        "budget_kb": heavy(rng, 2_000, 0.8, min(20, params.max_session_kb), params.max_session_kb),
    }


KIND = ActivityKind(
    kind="smb",
    summary="shared folders listed, read, written and mirrored by SMB 2 and 3: smbclient and "
    "scripts with impacket's server",
    category="file-transfer",
    program="smb",
    service_kind="smb",
    variants=get_args(Variant),
    params=SmbParams,
    draw=draw,
    evidence_children=True,
    wire="smb2.cmd == 3",
    needs=(*NEEDS, Need("smbclient", command="smbclient")),
)
SERVICE = ServiceKind(
    kind="smb",
    summary="impacket's SMB server with three shares",
    program="smb",
    ports=(445,),
    protocol="tcp",
    needs=NEEDS,
)
