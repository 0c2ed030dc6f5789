"""Whether a model is good enough: the customer's bars against what the test run measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from builder.metrics import METRICS
from builder.result import Evaluation
from topologies.errors import InputError, Problem

PER_CLASS: Final = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class Check:
    """One bar: the metric, the least value it must have, and the value it has."""

    metric: str
    minimum: float
    measured: float

    @property
    def met(self) -> bool:
        """Whether the bar is reached; reaching it exactly is enough."""
        return self.measured >= self.minimum

    def __str__(self) -> str:
        sign = "≥" if self.met else "<"
        return f"{self.metric} {self.measured:.4f} {sign} {self.minimum:g}"


def measures(evaluation: Evaluation) -> dict[str, float]:
    """Everything a bar may be set on, by name: ``f1_macro``, ``recall:cryptomining``, ….

    Each is in [0, 1] and high is better.
    """
    table = np.array(evaluation.confusion, dtype=np.int64)
    overall: dict[str, float] = {name: metric(table) for name, metric in METRICS.items()}
    return overall | {
        f"{metric}:{score.label}": float(getattr(score, metric))
        for metric in PER_CLASS
        for score in evaluation.classes
    }


def judge(evaluation: Evaluation, acceptance: Mapping[str, float]) -> tuple[Check, ...]:
    """Compare the test run with the least values asked for; no bars give no checks.

    Raises
    ------
    InputError
        A bar names something that was not measured.
    """
    measured = measures(evaluation)
    unknown = [name for name in acceptance if name not in measured]
    if unknown:
        raise InputError(
            Problem(
                "acceptance", name, f"one of {', '.join(measured)}", f"'{name}'", "correct the name"
            )
            for name in unknown
        )
    return tuple(Check(name, minimum, measured[name]) for name, minimum in acceptance.items())
