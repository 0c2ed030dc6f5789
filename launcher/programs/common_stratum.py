"""Stratum v1 work: jobs as pools hand them out, and the double SHA-256 both sides do with them."""

from __future__ import annotations

import hashlib
import random
import struct
import time
from dataclasses import dataclass
from typing import Any

from common import PeerError

DIFFICULTY_1 = 0xFFFF << 208  # the target of difficulty 1; 2**32 hashes on average


@dataclass(frozen=True)
class Coin:
    """How a coin's jobs come: seconds between jobs and blocks, depth of the block's tree."""

    job_s: float
    block_s: float
    branches: tuple[int, int]


COINS = {
    "BTC": Coin(30.0, 600.0, (10, 13)),
    "BCH": Coin(30.0, 600.0, (3, 8)),
    "LTC": Coin(25.0, 150.0, (5, 9)),
    "DOGE": Coin(15.0, 60.0, (3, 7)),
    "RVN": Coin(12.0, 60.0, (1, 5)),
    "DGB": Coin(8.0, 15.0, (1, 4)),
    "ALT": Coin(4.0, 10.0, (0, 3)),
    "KAS": Coin(1.5, 1.5, (0, 1)),
}


def sha256d(data: bytes) -> bytes:
    """SHA-256 of SHA-256."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def target(difficulty: float) -> int:
    """The number a header's hash must not exceed."""
    return int(DIFFICULTY_1 / difficulty)


@dataclass(frozen=True)
class Job:
    """One block template, as ``mining.notify`` carries it."""

    id: str
    previous: str
    coinbase_1: str
    coinbase_2: str
    branches: tuple[str, ...]
    version: str
    bits: str
    time: str
    clean: bool

    def parameters(self) -> list[object]:
        """The parameters of ``mining.notify``, in their order."""
        return [
            self.id,
            self.previous,
            self.coinbase_1,
            self.coinbase_2,
            list(self.branches),
            self.version,
            self.bits,
            self.time,
            self.clean,
        ]

    @classmethod
    def parse(cls, parameters: list[object]) -> Job:
        """The inverse of `parameters`."""
        number, previous, one, two, branches, version, bits, time, clean = parameters
        if not isinstance(branches, list):
            raise PeerError("mining.notify: the branches are no list")
        return cls(
            str(number),
            str(previous),
            str(one),
            str(two),
            tuple(map(str, branches)),
            str(version),
            str(bits),
            str(time),
            bool(clean),
        )

    def header(self, extranonce: str, time: str) -> bytes:
        """The block header without its nonce, 76 bytes."""
        root = sha256d(bytes.fromhex(self.coinbase_1 + extranonce + self.coinbase_2))
        for branch in self.branches:
            root = sha256d(root + bytes.fromhex(branch))
        start = bytes.fromhex(self.version + self.previous)
        return start + root + bytes.fromhex(time + self.bits)


def new_job(rng: random.Random, coin: Coin, number: int, time_s: int, last: Job | None) -> Job:
    """The next job: for a new block as often as the coin has them, else for the same one."""
    clean = last is None or rng.random() < min(coin.job_s / coin.block_s, 1.0)
    return Job(
        id=f"{number:x}",
        previous=rng.randbytes(32).hex() if clean or last is None else last.previous,
        coinbase_1=rng.randbytes(rng.randint(42, 90)).hex(),
        coinbase_2=rng.randbytes(rng.randint(40, 190)).hex(),
        branches=tuple(rng.randbytes(32).hex() for _ in range(rng.randint(*coin.branches))),
        version="20000000",
        bits=f"17{rng.getrandbits(24):06x}",
        time=struct.pack(">I", time_s).hex(),
        clean=clean,
    )


def throttled(params: dict[str, Any]) -> bool:
    """Whether a miner that hides from its machine's user rests just now."""
    return (time.monotonic() / float(params["period_s"])) % 1 > float(params["duty"])
