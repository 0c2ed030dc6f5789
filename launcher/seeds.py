"""Seeds and group ids of what a run starts, each its own."""

from __future__ import annotations

import hashlib
from typing import Final

FIRST_OWNER: Final = 10_000
"""First group id given to a program; below are those of the system."""


def derive_seed(seed: int, *names: object) -> int:
    """A seed of its own for one thing of an experiment (63 bits)."""
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
