"""Moving files by FTP."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, ServiceKind, heavy, pick

Variant = Literal[
    "passive-ftplib", "active-ftplib", "put-ftplib", "mirror-lftp", "upload-lftp", "fetch-curl"
]


class FtpParams(Params):
    """Settings of the ftp activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    file_kb: Annotated[float, Field(gt=0, le=16_384)] = Field(
        80.0, description="median file that is brought"
    )
    max_session_kb: Annotated[int, Field(ge=1, le=65_536)] = Field(6_000, description="per session")


def draw(rng: Random, params: FtpParams) -> Drawn:
    """Draw what one user moves."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 3, 0.7, 1, 12),
        "file_bytes": heavy(rng, params.file_kb * 1_024, 1.0, 500, 2_000_000),
        "budget_kb": heavy(rng, 3_000, 0.8, min(20, params.max_session_kb), params.max_session_kb),
        "parallel": rng.choice((1, 1, 2, 4)),
        "rate_bytes_s": rng.choice((0, 0, 300_000, 1_000_000)),
    }


KIND = ActivityKind(
    kind="ftp",
    summary="files listed, fetched and brought by FTP, active and passive, by scripts, lftp and "
    "curl",
    category="file-transfer",
    program="ftp",
    service_kind="ftp",
    variants=get_args(Variant),
    params=FtpParams,
    draw=draw,
    evidence_children=True,
    wire="ftp.response.code == 226",
    needs=(Need("lftp", command="lftp"), Need("curl", command="curl")),
)
SERVICE = ServiceKind(
    kind="ftp",
    summary="pyftpdlib with a tree of files and a folder for uploads",
    program="ftp",
    ports=(21,),
    protocol="tcp",
    needs=(Need("python3-pyftpdlib", module="pyftpdlib"),),
)
