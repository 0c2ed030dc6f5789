"""Phases of an experiment: how much goes on, and how that changes while a phase lasts.

The level of a phase is its ``intensity`` times its shape. Without a target it multiplies the rate
at which users begin sessions; with one it multiplies the target.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from topologies.faults import fault
from topologies.model import Model, Name

Level = Annotated[float, Field(ge=0, le=100)]
Length = Annotated[float, Field(gt=0, le=86_400)]
Unit = Literal["users", "flows_per_s"]

_HALVINGS: Final = 60  # of an interval, until nothing of it is left in double precision


class Ramp(Model):
    """From one level to another in a straight line."""

    shape: Literal["ramp"]
    start: Level = 0.0
    end: Level = 1.0

    def area_s(self, time_s: float, duration_s: float) -> float:
        """Integral of the level over the first ``time_s`` seconds of a phase."""
        return self.start * time_s + (self.end - self.start) * time_s**2 / (2 * duration_s)

    def scaled(self, factor: float) -> Self:  # noqa: ARG002 - it has no times of its own
        """The same with all its times multiplied."""
        return self


class Steps(Model):
    """Levels one after the other, each for an equal part of the phase."""

    shape: Literal["steps"]
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=1_000)]

    def area_s(self, time_s: float, duration_s: float) -> float:
        """Integral of the level over the first ``time_s`` seconds of a phase."""
        step_s = duration_s / len(self.levels)
        whole = min(int(time_s / step_s), len(self.levels) - 1)
        return step_s * sum(self.levels[:whole]) + self.levels[whole] * (time_s - whole * step_s)

    def scaled(self, factor: float) -> Self:  # noqa: ARG002 - it has no times of its own
        """The same with all its times multiplied."""
        return self


class Bursts(Model):
    """A level, and a higher one for a while, again and again; a burst ends each interval."""

    shape: Literal["bursts"]
    base: Level = 0.2
    peak: Level = 2.0
    every_s: Length
    length_s: Length

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.length_s > self.every_s:
            raise fault(
                expected=f"a length_s of at most every_s ({self.every_s:g})",
                got=f"{self.length_s:g}",
                remedy="shorten the bursts or let them come less often",
            )
        return self

    def area_s(self, time_s: float, duration_s: float) -> float:  # noqa: ARG002
        """Integral of the level over the first ``time_s`` seconds of a phase."""
        whole = int(time_s / self.every_s)
        inside_s = max(time_s - whole * self.every_s - (self.every_s - self.length_s), 0.0)
        return self.base * time_s + (self.peak - self.base) * (whole * self.length_s + inside_s)

    def scaled(self, factor: float) -> Self:
        """The same with all its times multiplied."""
        times = {"every_s": self.every_s * factor, "length_s": self.length_s * factor}
        return self.model_copy(update=times)


class Diurnal(Model):
    """Days and nights: a cosine, lowest at the beginning and highest half a day later."""

    shape: Literal["diurnal"]
    low: Level = 0.2
    high: Level = 1.0
    day_s: Length

    def area_s(self, time_s: float, duration_s: float) -> float:  # noqa: ARG002
        """Integral of the level over the first ``time_s`` seconds of a phase."""
        turn = 2 * math.pi / self.day_s
        half = (self.high - self.low) / 2
        return (self.low + half) * time_s - half * math.sin(turn * time_s) / turn

    def scaled(self, factor: float) -> Self:
        """The same with all its times multiplied."""
        return self.model_copy(update={"day_s": self.day_s * factor})


Shape = Annotated[Ramp | Steps | Bursts | Diurnal, Field(discriminator="shape")]


class Target(Model):
    """What a phase aims at; the launcher starts sessions so that it is met, and says how well."""

    users: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        None, description="sessions going on at once, in the whole lab"
    )
    flows_per_s: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        None, description="new flows a second that sessions open, in the whole lab"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.users is None) == (self.flows_per_s is None):
            raise fault(
                expected="either users or flows_per_s",
                got="neither" if self.users is None else "both",
                remedy="a phase has one target",
            )
        return self

    @property
    def unit(self) -> Unit:
        """What is counted."""
        return "flows_per_s" if self.users is None else "users"

    @property
    def value(self) -> float:
        """How much of it at level 1."""
        return self.users or self.flows_per_s or 0.0


class Phase(Model):
    """A stretch of the experiment."""

    name: Name
    duration_s: Annotated[float, Field(gt=0, le=86_400)]
    intensity: Level = Field(1.0, description="multiplies the rate of sessions, or the target")
    shape: Shape | None = Field(None, description="how the level changes; null is not at all")
    target: Target | None = Field(
        None, description="null: users begin sessions at their own rate, times the level"
    )

    def area_s(self, time_s: float) -> float:
        """Integral of the level over the first ``time_s`` seconds: they count for so many."""
        if self.shape is None:
            return self.intensity * time_s
        return self.intensity * self.shape.area_s(time_s, self.duration_s)

    def level(self, time_s: float) -> float:
        """The level at a time, averaged over the hundredth of the phase around it."""
        width_s = self.duration_s / 100
        low = min(max(time_s - width_s / 2, 0.0), self.duration_s - width_s)
        return (self.area_s(low + width_s) - self.area_s(low)) / width_s

    def time_of(self, area_s: float) -> float:
        """When the integral reaches ``area_s``, which must be below that of the whole phase."""
        if self.shape is None:
            return area_s / self.intensity
        low, high = 0.0, self.duration_s
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.area_s(middle) > area_s else (middle, high)
        return low

    def scaled(self, factor: float) -> Phase:
        """The same phase, all its times multiplied by ``factor``."""
        shape = self.shape.scaled(factor) if self.shape is not None else None
        return self.model_copy(update={"duration_s": self.duration_s * factor, "shape": shape})


DEFAULT_PHASES: Final = (
    Phase(name="warm-up", duration_s=5, intensity=0.5),
    Phase(name="steady", duration_s=30),
    Phase(name="peak", duration_s=10, intensity=2.0),
    Phase(name="quiet", duration_s=5, intensity=0.0),
)
