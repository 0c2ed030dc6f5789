"""Precision against recall, and confidence against accuracy."""

from __future__ import annotations

from typing import Final

import numpy as np

from builder.evaluation.records import Bin, Curve
from builder.families.base import Ints
from builder.preprocess import Floats

POINTS: Final = 101  # of a curve that is kept
BINS: Final = 15


def precision_recall(truth: Ints, probabilities: Floats, labels: tuple[str, ...]) -> list[Curve]:
    """One curve for each class that occurs; ``probabilities`` is [n, classes]."""
    return [
        _curve(label, truth == place, probabilities[:, place])
        for place, label in enumerate(labels)
        if (truth == place).any()
    ]


def _curve(label: str, hit: np.ndarray, score: Floats) -> Curve:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(hit, score)
    precision, recall = precision[::-1], recall[::-1]  # from the strictest threshold on
    kept = np.unique(np.searchsorted(recall, np.linspace(0, 1, POINTS)).clip(max=len(recall) - 1))
    return Curve(
        label,
        tuple(np.round(recall[kept], 5).tolist()),
        tuple(np.round(precision[kept], 5).tolist()),
        float(average_precision_score(hit, score)),
    )


def reliability(truth: Ints, probabilities: Floats) -> tuple[tuple[Bin, ...], float]:
    """Bins of equal width over the answer's probability, and the expected calibration error."""
    said = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    number = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(number, minlength=BINS)
    filled = np.flatnonzero(counts)
    confidence = np.bincount(number, weights=said, minlength=BINS)[filled] / counts[filled]
    accuracy = np.bincount(number, weights=right, minlength=BINS)[filled] / counts[filled]
    error = float(np.average(np.abs(confidence - accuracy), weights=counts[filled]))
    rows = zip(confidence.tolist(), accuracy.tolist(), counts[filled].tolist(), strict=True)
    return tuple(Bin(*row) for row in rows), error
