"""Scores of a classifier, all worked out from its confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from builder.result import ClassScore, Evaluation

Ints = npt.NDArray[np.int64]
Metric = Literal["f1_macro", "f1_weighted", "balanced_accuracy", "accuracy"]


def confusion(truth: Ints, answer: Ints, width: int) -> Ints:
    """Count flows by true class (rows) and answered class (columns): int64 [width, width]."""
    return np.bincount(truth * width + answer, minlength=width * width).reshape(width, width)


def _ratio(part: Ints, whole: Ints) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _f1(table: Ints) -> npt.NDArray[np.float64]:
    return _ratio(2 * table.diagonal(), table.sum(axis=0) + table.sum(axis=1))


def _present(table: Ints) -> npt.NDArray[np.bool_]:
    """Classes that occur in the truth or the answers; the others say nothing about the model."""
    present: npt.NDArray[np.bool_] = (table.sum(axis=0) + table.sum(axis=1)) > 0
    return present


def _f1_macro(table: Ints) -> float:
    return float(_f1(table)[_present(table)].mean())


def _f1_weighted(table: Ints) -> float:
    return float(np.average(_f1(table), weights=table.sum(axis=1)))


def _balanced_accuracy(table: Ints) -> float:
    support = table.sum(axis=1)
    return float(_ratio(table.diagonal(), support)[support > 0].mean())


def _accuracy(table: Ints) -> float:
    return float(table.trace() / table.sum())


# Each takes a confusion matrix of at least one flow and answers in [0, 1], high is better.
METRICS: Final[Mapping[Metric, Callable[[Ints], float]]] = {
    "f1_macro": _f1_macro,
    "f1_weighted": _f1_weighted,
    "balanced_accuracy": _balanced_accuracy,
    "accuracy": _accuracy,
}


def evaluate(truth: Ints, answer: Ints, labels: tuple[str, ...]) -> Evaluation:
    """Judge answers, both int64 [n] of class numbers; ``labels`` names the classes."""
    table = confusion(truth, answer, len(labels))
    hits, answered, support = table.diagonal(), table.sum(axis=0), table.sum(axis=1)
    rows = zip(
        labels,
        _ratio(hits, answered).tolist(),
        _ratio(hits, support).tolist(),
        _f1(table).tolist(),
        support.tolist(),
        strict=True,
    )
    return Evaluation(
        classes=tuple(ClassScore(*row) for row in rows),
        f1_macro=_f1_macro(table),
        accuracy=_accuracy(table),
        confusion=tuple(tuple(row) for row in table.tolist()),
        labels=labels,
        flows=len(truth),
    )
