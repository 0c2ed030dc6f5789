"""Using exports by NFS."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import (
    ActivityKind,
    Drawn,
    Need,
    Params,
    ServiceKind,
    around,
    heavy,
    pick,
)

Variant = Literal["look", "get", "put", "work", "work-v4", "play"]
TOOLS = Need("libnfs-utils", command="nfs-ls")
V3_ONLY = ("put", "work")  # libnfs writes little with version 4


class NfsParams(Params):
    """Settings of the nfs activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    file_kb: Annotated[float, Field(gt=0, le=2_048)] = Field(
        40.0, description="median file that is written"
    )
    max_session_kb: Annotated[int, Field(ge=1, le=65_536)] = Field(5_000, description="per session")
    play_kb_s: Annotated[float, Field(gt=0, le=10_000)] = Field(
        250.0, description="median pace at which files are played"
    )


def draw(rng: Random, params: NfsParams) -> Drawn:
    """Draw what one user does, and the client's settings."""
    variant = pick(rng, params.variants)
    version = 4 if variant == "work-v4" else rng.choice((3, 4))
    return variant, {
        "variant": variant,
        "version": 3 if variant in V3_ONLY else version,
        "actions": heavy(rng, 8 if variant.startswith("work") else 3, 0.7, 1, 30),
        "block_bytes": rng.choice((8_192, 32_768, 65_536, 131_072, 1_048_576)),
        "file_bytes": heavy(rng, params.file_kb * 1_024, 1.0, 200, 2_000_000),
        "budget_kb": heavy(rng, 2_000, 0.8, min(20, params.max_session_kb), params.max_session_kb),
        "play_bytes_s": round(around(rng, params.play_kb_s, 0.7) * 1_024),
    }


def _done(version_3: int, version_4: int) -> str:
    return f"nfs.procedure_v3 == {version_3} || nfs.opcode == {version_4}"


KIND = ActivityKind(
    kind="nfs",
    summary="exports listed, read, written, worked on and played from by NFSv3 and NFSv4.0: libnfs "
    "and its tools, port mapper and mount protocol",
    category="file-transfer",
    program="nfs",
    service_kind="nfs",
    variants=get_args(Variant),
    params=NfsParams,
    draw=draw,
    evidence_children=True,
    wire={
        "look": "nfs.procedure_v3 in {16, 17} || nfs.opcode == 26",
        "get": _done(6, 25),
        "put": "nfs.procedure_v3 == 7",
        "work": "nfs.procedure_v3 in {6, 7}",
        "work-v4": "nfs.opcode in {25, 38}",
        "play": _done(6, 25),
    },
    needs=(TOOLS,),
)
SERVICE = ServiceKind(
    kind="nfs",
    summary="NFS-Ganesha with an export in memory, and a port mapper",
    program="nfs",
    ports=(2049, 111, 20048),
    protocol="any",
    needs=(
        Need("nfs-ganesha", command="ganesha.nfsd"),
        Need("nfs-ganesha-mem", file="/etc/ganesha/mem.conf"),
        Need("netbase", file="/etc/services"),  # the port mapper's name
        TOOLS,
    ),
)
