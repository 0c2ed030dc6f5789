"""Exact statistics of short lists, in fractions; NaN is what cannot be known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

NAN = math.nan
SIZE_EDGES = (63, 127, 255, 511, 1023, 1279, 1500)


def mean(values: Sequence[int]) -> Fraction:
    return Fraction(sum(values), len(values))


def central(values: Sequence[int], power: int) -> Fraction:
    """The central moment, with divisor n."""
    middle = mean(values)
    return sum((value - middle) ** power for value in values) / Fraction(len(values))


def spread(values: Sequence[int], *, scale: int = 1) -> dict[str, float]:
    """Minimum, mean, maximum and population standard deviation, divided by ``scale``."""
    if not values:
        return dict.fromkeys(("min", "mean", "max", "std"), NAN)
    return {
        "min": float(Fraction(min(values), scale)),
        "mean": float(mean(values) / scale),
        "max": float(Fraction(max(values), scale)),
        "std": math.sqrt(central(values, 2)) / scale,
    }


def shape(values: Sequence[int]) -> tuple[float, float]:
    """Population skewness and excess kurtosis."""
    if not values or (variance := central(values, 2)) == 0:
        return NAN, NAN
    skewness = float(central(values, 3)) / float(variance) ** 1.5
    return skewness, float(central(values, 4) / variance**2 - 3)


def entropy_bits(sizes: Sequence[int]) -> float:
    """Shannon entropy of the sizes' histogram."""
    if not sizes:
        return NAN
    bins = [0] * (len(SIZE_EDGES) + 1)
    for size in sizes:
        bins[sum(size > edge for edge in SIZE_EDGES)] += 1
    shares = [count / len(sizes) for count in bins if count]
    return abs(-sum(share * math.log2(share) for share in shares))


def ratio(above: float | Fraction, below: float | Fraction) -> float:
    return float(Fraction(above) / Fraction(below)) if below else NAN


def ms(nanoseconds: int | None) -> float:
    return NAN if nanoseconds is None else nanoseconds / 10**6


def extremes(values: Sequence[int]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (NAN, NAN)
