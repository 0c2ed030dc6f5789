"""What an exported model costs: time per flow and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from builder.evaluation.records import Speed
from builder.families.base import Inputs
from builder.preprocess import Floats

SINGLES: Final = 200
BULK_ROWS: Final = 8192
REPEATS: Final = 3


def measure(
    answer: Callable[[Inputs], Floats],
    inputs: Inputs,
    *,
    size_bytes: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time ``answer`` on raw ``inputs`` of at least one flow: one by one, and many at once."""
    singles = [inputs.take(np.array([k % len(inputs)])) for k in range(SINGLES)]
    many = inputs.take(np.arange(BULK_ROWS) % len(inputs))
    for one in singles[:20]:
        answer(one)
    each = [_seconds(answer, one, clock) for one in singles]
    bulk = min(_seconds(answer, many, clock) for _ in range(REPEATS))
    return Speed(
        latency_us_per_flow=round(float(np.median(each)) * 1e6, 2),
        bulk_us_per_flow=round(bulk / BULK_ROWS * 1e6, 4),
        size_mb=round(size_bytes / 1e6, 4),
    )


def _seconds(
    answer: Callable[[Inputs], Floats], inputs: Inputs, clock: Callable[[], float]
) -> float:
    start = clock()
    answer(inputs)
    return clock() - start


def within(speed: Speed, limits: Mapping[str, float]) -> bool:
    """Whether a model costs no more than ``limits``, by the names of `builder.metrics.LIMITS`."""
    return all(getattr(speed, name) <= most for name, most in limits.items())
