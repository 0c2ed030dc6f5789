"""How jitter is distributed: one table of quantiles for each kind, the same in every mechanism."""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

from topologies.impairments import JitterDistribution

SIZE: Final = 4_096  # quantiles in a table
FURTHEST: Final = 4.0  # standard deviations; more does not fit into netem's 16-bit numbers
KINDS: Final[tuple[JitterDistribution, ...]] = ("normal", "uniform", "pareto")
_PARETO_SHAPE: Final = 3.0


def quantiles(kind: JitterDistribution) -> list[float]:
    """Equally likely values of mean 0, rising; standard deviation 1, of uniform half width 1.

    None is beyond ±4. The pareto distribution has the shape 3.
    """
    steps = [(index + 0.5) / SIZE for index in range(SIZE)]
    if kind == "uniform":
        return [2 * step - 1 for step in steps]
    if kind == "normal":
        return _standardised([NormalDist().inv_cdf(step) for step in steps])
    return _standardised([(1 - step) ** (-1 / _PARETO_SHAPE) for step in steps])


def _standardised(values: list[float]) -> list[float]:
    """Shift, scale and cut the tail, again until cutting changes nothing any more."""
    for _ in range(50):
        mean = sum(values) / SIZE
        deviation = (sum((value - mean) ** 2 for value in values) / SIZE) ** 0.5
        values = [min((value - mean) / deviation, FURTHEST) for value in values]
    return values
