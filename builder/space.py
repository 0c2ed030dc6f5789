"""The domain of a search: which values each hyperparameter may take, and how one is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from builder.result import Param


class Distribution(Protocol):
    """The values of one hyperparameter."""

    def draw(self, rng: np.random.Generator) -> Param:
        """Draw one value."""
        ...

    def __contains__(self, value: object) -> bool: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the given values, each as likely."""

    values: tuple[Param, ...]

    def draw(self, rng: np.random.Generator) -> Param:
        """Draw one value."""
        return self.values[int(rng.integers(len(self.values)))]

    def __contains__(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True, slots=True)
class IntRange:
    """A whole number from ``low`` to ``high``, both included; ``log`` favours small ones."""

    low: int
    high: int
    log: bool = False

    def draw(self, rng: np.random.Generator) -> int:
        """Draw one value."""
        if not self.log:
            return int(rng.integers(self.low, self.high + 1))
        return int(math.exp(rng.uniform(math.log(self.low), math.log(self.high + 1))))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Uniform:
    """A real number in [low, high)."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        return float(rng.uniform(self.low, self.high))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class LogUniform:
    """A positive real number in [low, high), its logarithm uniform."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        return float(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high


Space = Mapping[str, Distribution]


def draw(space: Space, rng: np.random.Generator) -> dict[str, Param]:
    """Draw a value for every hyperparameter, in the order of the space.

    Examples
    --------
    >>> import numpy as np
    >>> draw({"depth": IntRange(3, 3), "weight": Choice(("balanced",))}, np.random.default_rng(0))
    {'depth': 3, 'weight': 'balanced'}
    """
    return {name: distribution.draw(rng) for name, distribution in space.items()}
