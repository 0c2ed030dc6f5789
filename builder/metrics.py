"""Scores of a classifier, worked out from its confusion matrix, or from its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from builder.result import ClassScore, Evaluation

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Metric = Literal[
    "f1_macro", "f1_weighted", "balanced_accuracy", "accuracy", "auroc", "auroc_by_group"
]
# What a model costs, named as in `builder.evaluation.records.Speed`; low is better.
LIMITS: Final = ("latency_us_per_flow", "bulk_us_per_flow", "size_mb")


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
METRICS: Final[Mapping[str, Callable[[Ints], float]]] = {
    "f1_macro": _f1_macro,
    "f1_weighted": _f1_weighted,
    "balanced_accuracy": _balanced_accuracy,
    "accuracy": _accuracy,
}


def score(metric: Metric, truth: Ints, answer: Floats, groups: Ints | None = None) -> float:
    """A metric of probabilities [n, width], high is better.

    ``auroc`` is of the order that they put flows in, not of where the answer turns: of each class
    against all others, the mean over those that have flows on both sides. All others are of the
    likeliest class. ``auroc_by_group`` is the same, but of its class each of the ``groups`` [n] of
    flows weighs the same, however many flows it has; without groups each flow does.
    """
    if metric in METRICS:
        return METRICS[metric](confusion(truth, answer.argmax(axis=1), answer.shape[1]))
    weights = np.ones(len(truth))
    if metric == "auroc_by_group" and groups is not None:
        weights = _even(truth, groups)
    areas = [_area(truth == label, answer[:, label], weights) for label in np.unique(truth)]
    return float(np.mean(areas))


def _even(truth: Ints, groups: Ints) -> npt.NDArray[np.float64]:
    """Weights of rows by which every group of a class comes to the same."""
    _, number, sizes = np.unique(
        np.stack([truth, groups]), axis=1, return_inverse=True, return_counts=True
    )
    return np.asarray(1 / sizes[number.reshape(-1)], dtype=np.float64)


def _area(member: npt.NDArray[np.bool_], chance: Floats, weights: npt.NDArray[np.float64]) -> float:
    """The chance that a member comes before another, ties counting half; one half without both."""
    from sklearn.metrics import roc_auc_score

    if member.all() or not member.any():
        return 0.5
    return float(roc_auc_score(member, chance, sample_weight=weights))


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


def rare_precision(evaluation: Evaluation, index: int, *, one_in: int) -> float | None:
    """Precision of class ``index`` if one flow in ``one_in`` were of it; None if never tested.

    Precision on a test run depends on how common the class was there; recall and false-alarm rate
    do not. Where no false alarm was seen, three in the number of other flows are assumed: the
    upper end of the 95 % interval of none.
    """
    column = [row[index] for row in evaluation.confusion]
    true_positives, support = column[index], sum(evaluation.confusion[index])
    others = evaluation.flows - support
    if not support or not others:
        return None
    recall = true_positives / support
    false_alarm_rate = min(1.0, max(sum(column) - true_positives, 3) / others)
    caught, alarms = recall / one_in, false_alarm_rate * (1 - 1 / one_in)
    return caught / (caught + alarms)


def absent(evaluation: Evaluation) -> str:
    """Says which classes count in macro-F1 though no flow is of them; empty where none does."""
    answered = {
        score.label: sum(row[index] for row in evaluation.confusion)
        for index, score in enumerate(evaluation.classes)
        if not score.support
    }
    named = ", ".join(f"{label} ({count})" for label, count in answered.items() if count)
    return f" Answered, though no flow is of them, which counts as an F1 of 0: {named}." * bool(
        named
    )
