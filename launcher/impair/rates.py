"""Rates and queues in the numbers that a mechanism takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from topologies.impairments import Quality

ETHERNET_BYTES: Final = 18
_BURST_S: Final = 0.002
_HIGHEST_RATE: Final = 2**32 - 1  # bytes/s of tbf's 32-bit field: 34 Gbit/s, beyond any veth
_QUEUE_S: Final = 0.05  # how much traffic waits at a limited link when nobody says
_LEAST_FRAMES: Final = 10


def queue_s(quality: Mapping[str, Any], frame_bytes: int) -> float:
    """How long a frame waits at the rate limit of a `Quality` at most, seconds.

    ``frame_bytes`` is the size of the largest one.
    """
    frame_s: float = frame_bytes * 8 / (quality["rate_mbit"] * 1e6)
    if quality["queue_packets"] is not None:
        return float(quality["queue_packets"] * frame_s)
    if quality["queue_ms"] is not None:
        return float(max(quality["queue_ms"] / 1e3, frame_s))
    return max(_QUEUE_S, _LEAST_FRAMES * frame_s)


def tbf_bytes(quality: Quality, frame_bytes: int) -> tuple[int, int, int]:
    """Rate (bytes/s), bucket and queue of a token bucket filter; no rate is no bytes."""
    if quality.rate_mbit is None:
        return 0, 0, 0
    rate = min(int(quality.rate_mbit * 1e6 / 8), _HIGHEST_RATE)
    burst = max(2 * frame_bytes, int(rate * _BURST_S))
    return rate, burst, burst + int(rate * queue_s(asdict(quality), frame_bytes))
