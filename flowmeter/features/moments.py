"""Means and spreads of packet sizes and gaps from the core's sums.

The core adds up powers of x - x1, where x1 is the first value, in one pass. With m the mean of
x - x1 and dk the sum of (x - x1)^k over n values, the central moments are

* m2 = d2/n - m^2
* m3 = d3/n - 3 m d2/n + 2 m^3
* m4 = d4/n - 4 m d3/n + 6 m^2 d2/n - 3 m^4

Because x1 is one of the values, m2 is at least m^2/n, so m2 is above 1/(n+1) of d2/n unless all
values are equal. What is below `NO_SPREAD` of it is a rounding error, and counts as 0: then
skewness and kurtosis are unknown rather than wild. Values that differ at all come that low only
among 10^9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from flowmeter.features.columns import (
    Column,
    Columns,
    Compute,
    divisor,
    flow_field,
    known,
    packets,
    shared,
    side_field,
)
from flowmeter.features.feature import FULL, IP_LENGTH, TIMES, Feature, each_side

NO_SPREAD: Final = 1e-9
_SHAPES: Final = (
    ("skewness", "skewness (third central moment over the variance to 1.5)"),
    ("kurtosis", "excess kurtosis (fourth central moment over the squared variance, less 3)"),
)


class Sums(NamedTuple):
    """What one pass left of n values x with the first value x1."""

    number: Column  # n, NaN where 0
    shift: Column  # m
    square: Column  # d2/n
    variance: Column  # m2


def sums(number: Column, total: Column, first: Column, d2: Column) -> Sums:
    """Mean and variance from the number of values, their sum, the first, and d2."""
    # Whole numbers until the division: equal values leave a shift of exactly 0.
    whole = np.where(number > 0, number, 0).astype(np.int64)
    shift = (total - whole * first) / number
    square = d2 / number
    variance = square - shift * shift
    noise = variance < NO_SPREAD * square
    return Sums(number, shift, square, np.where(noise, 0.0, variance))


@shared
def sizes(columns: Columns) -> Sums:
    """Of IP packet lengths, per side."""
    total, first = columns.side("ip_bytes"), columns.side("size_first")
    return sums(packets(columns), total, first, columns.side("size_d2"))


@shared
def side_gaps(columns: Columns) -> Sums:
    """Of the times between packets of one side, ns."""
    total = columns.side("last_ns") - columns.side("first_ns")
    count = divisor(columns.side("packets") - 1)
    return sums(count, total, columns.side("iat_first"), columns.side("iat_d2"))


@shared
def flow_gaps(columns: Columns) -> Sums:
    """Of the times between packets of the flow, ns."""
    total = columns.flow("last_ns") - columns.flow("first_ns")
    count = divisor(columns.flow("packets") - 1)
    return sums(count, total, columns.flow("iat_first"), columns.flow("iat_d2"))


def features() -> Iterator[Feature]:
    """Group moments."""
    for shape, text in _SHAPES:
        yield from each_side(
            f"size_{shape}", "1", "float32", "moments",
            f"{text} of IP packet lengths, {{path}}; NaN if all are equal", IP_LENGTH,
            _shape(shape, sizes, side_field, "size"), FULL,
        )  # fmt: skip
        yield from each_side(
            f"iat_{shape}", "1", "float32", "moments",
            f"{text} of the times between successive packets, {{path}}; NaN if all are equal",
            TIMES, _shape(shape, side_gaps, side_field, "iat"), FULL,
        )  # fmt: skip
        yield Feature(
            f"iat_{shape}", "1", "float32", "moments",
            f"{text} of the times between successive packets, both directions; NaN if all are "
            "equal", TIMES, _shape(shape, flow_gaps, flow_field, "iat"), FULL,
        )  # fmt: skip


def _shape(
    shape: str,
    of: Callable[[Columns], Sums],
    field: Callable[[str], Compute],
    prefix: str,
) -> Compute:
    def skewness(columns: Columns) -> Column:
        number, shift, square, variance = of(columns)
        variance = known(variance, variance > 0)
        third = field(f"{prefix}_d3")(columns) / number - shift * (3 * square - 2 * shift * shift)
        skew: Column = third / (variance * np.sqrt(variance))
        return skew

    def kurtosis(columns: Columns) -> Column:
        number, shift, square, variance = of(columns)
        variance = known(variance, variance > 0)
        cube, fourth = field(f"{prefix}_d3")(columns) / number, field(f"{prefix}_d4")(columns)
        rest = shift * (4 * cube - shift * (6 * square - 3 * shift * shift))
        kurt: Column = (fourth / number - rest) / (variance * variance) - 3
        return kurt

    return skewness if shape == "skewness" else kurtosis
