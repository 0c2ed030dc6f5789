"""Distributions of waiting times, as a topology names them: arrivals of sessions and think times.

Every draw takes the generator it uses, so one seed fixes a whole experiment.
"""

from __future__ import annotations

import math
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class _TimeDistribution(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    maximum_s: PositiveSeconds = Field(60.0, description="draws above this are cut to it")

    def sample_s(self, rng: Random) -> float:
        """Draw one waiting time in seconds, in [0, ``maximum_s``]."""
        return min(self._draw_s(rng), self.maximum_s)

    def _draw_s(self, rng: Random) -> float:
        raise NotImplementedError


class Constant(_TimeDistribution):
    """Always the same time."""

    distribution: Literal["constant"] = "constant"
    value_s: Seconds

    def _draw_s(self, rng: Random) -> float:  # noqa: ARG002 - nothing to draw
        return self.value_s


class Uniform(_TimeDistribution):
    """Equally likely anywhere between ``low_s`` and ``high_s``."""

    distribution: Literal["uniform"] = "uniform"
    low_s: Seconds
    high_s: Seconds

    def _draw_s(self, rng: Random) -> float:
        return rng.uniform(self.low_s, self.high_s)


class Exponential(_TimeDistribution):
    """Memoryless gaps: a Poisson process of sessions."""

    distribution: Literal["exponential"] = "exponential"
    mean_s: PositiveSeconds

    def _draw_s(self, rng: Random) -> float:
        return rng.expovariate(1 / self.mean_s)


class Lognormal(_TimeDistribution):
    """Human pauses: most near the median, some long. ``sigma`` is that of the logarithm."""

    distribution: Literal["lognormal"] = "lognormal"
    median_s: PositiveSeconds
    sigma: Annotated[float, Field(ge=0, le=4)] = 0.8

    def _draw_s(self, rng: Random) -> float:
        return rng.lognormvariate(math.log(self.median_s), self.sigma)


class Pareto(_TimeDistribution):
    """Heavy tail: at least ``minimum_s``, with tail index ``shape``."""

    distribution: Literal["pareto"] = "pareto"
    minimum_s: PositiveSeconds
    shape: Annotated[float, Field(gt=0, le=10)] = 1.5

    def _draw_s(self, rng: Random) -> float:
        return self.minimum_s * rng.paretovariate(self.shape)


TimeDistribution = Annotated[
    Constant | Uniform | Exponential | Lognormal | Pareto, Field(discriminator="distribution")
]
