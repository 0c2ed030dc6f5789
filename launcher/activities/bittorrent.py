"""Sharing files by BitTorrent."""

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

Variant = Literal["tcp", "utp", "encrypted", "magnet", "aria2"]
NEEDS = (Need("python3-libtorrent", module="libtorrent"),)
PLAIN = "bittorrent"


class BittorrentParams(Params):
    """Settings of the bittorrent activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    rate_kb_s: Annotated[float, Field(gt=0, le=16_384)] = Field(
        600.0, description="median bound on what a peer fetches, in KiB/s"
    )


def draw(rng: Random, params: BittorrentParams) -> Drawn:
    """Draw what one peer fetches, and how fast it may."""
    variant = pick(rng, params.variants)
    rate = min(around(rng, params.rate_kb_s, 0.9), 16_384.0) * 1_024
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 1.4, 0.6, 1, 4),
        "rate_bytes_s": int(rate),
        "upload_bytes_s": int(rate * rng.choice((0.1, 0.3, 1.0))) + 5_000,
        "stay_s": round(min(rng.expovariate(0.4), 15.0), 1),
    }


KIND = ActivityKind(
    kind="bittorrent",
    summary="torrents fetched from a seeder and other peers over TCP, uTP and with encryption, by "
    "libtorrent and aria2; a tracker over HTTP",
    category="file-transfer",
    program="bittorrent",
    service_kind="bittorrent",
    variants=get_args(Variant),
    params=BittorrentParams,
    draw=draw,
    evidence_children=True,
    wire={
        "tcp": PLAIN,
        "utp": 'udp contains "BitTorrent protocol"',
        "encrypted": 'http.request.uri contains "info_hash"',
        "magnet": PLAIN,
        "aria2": PLAIN,
    },
    needs=(*NEEDS, Need("aria2", command="aria2c")),
)
SERVICE = ServiceKind(
    kind="bittorrent",
    summary="a seeder (libtorrent) on the first port, a tracker over HTTP on the second",
    program="bittorrent",
    ports=(6881, 6969),
    protocol="any",
    needs=NEEDS,
)
