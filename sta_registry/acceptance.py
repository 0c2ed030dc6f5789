"""Whether a model is good enough: the customer's bars against what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from builder.evaluation.records import Speed
from builder.metrics import LIMITS, METRICS
from builder.result import Evaluation
from topologies.errors import InputError, Problem

PER_CLASS: Final = ("precision", "recall", "f1")
FORECAST: Final = ("mae_gain", "mae_gain_low")  # on the seasonal naive forecast, as a share
BEAT: Final = {"mae_gain": 0.0}


@dataclass(frozen=True, slots=True)
class Check:
    """One bar: the metric, the value it has, and the least it must have, or the most it may."""

    metric: str
    bar: float
    measured: float

    @property
    def met(self) -> bool:
        """Whether the bar is kept; reaching it exactly is enough."""
        if self.metric in LIMITS:
            return self.measured <= self.bar
        return self.measured >= self.bar

    def __str__(self) -> str:
        if self.metric in LIMITS:
            return f"{self.metric} {self.measured:g} {'≤' if self.met else '>'} {self.bar:g}"
        return f"{self.metric} {self.measured:.4f} {'≥' if self.met else '<'} {self.bar:g}"


def measures(evaluation: Evaluation) -> dict[str, float]:
    """Every score of the test run, by name: ``f1_macro``, ``recall:cryptomining``, ….

    Each is in [0, 1] and high is better.
    """
    table = np.array(evaluation.confusion, dtype=np.int64)
    overall: dict[str, float] = {name: metric(table) for name, metric in METRICS.items()}
    return overall | {
        f"{metric}:{score.label}": float(getattr(score, metric))
        for metric in PER_CLASS
        for score in evaluation.classes
    }


def judge_forecast(
    gain: tuple[float, float, float], acceptance: Mapping[str, float]
) -> tuple[Check, ...]:
    """Compare how much smaller a forecast's MAE is than the seasonal naive one's with the bars.

    ``mae_gain`` is that share, ``mae_gain_low`` the lower end of its 95 % interval.

    Raises
    ------
    InputError
        A bar names something that was not measured.
    """
    return _checks(dict(zip(FORECAST, gain[:2], strict=True)), acceptance)


def judge(
    evaluation: Evaluation, acceptance: Mapping[str, float], *, speed: Speed | None = None
) -> tuple[Check, ...]:
    """Compare the test run, and what the model costs, with what is asked for.

    Of scores the least value is asked for, of `LIMITS` the most. No bars give no checks.

    Raises
    ------
    InputError
        A bar names something that was not measured.
    """
    measured = measures(evaluation)
    if speed is not None:
        measured |= {name: float(getattr(speed, name)) for name in LIMITS}
    return _checks(measured, acceptance)


def _checks(measured: Mapping[str, float], acceptance: Mapping[str, float]) -> tuple[Check, ...]:
    unknown = [name for name in acceptance if name not in measured]
    if unknown:
        raise InputError(
            Problem(
                "acceptance", name, f"one of {', '.join(measured)}", f"'{name}'", "correct the name"
            )
            for name in unknown
        )
    return tuple(Check(name, bar, measured[name]) for name, bar in acceptance.items())
