"""How sure a score is: the bootstrap, which resamples activities, not flows.

Flows of one activity are alike; resampling them one by one would promise too much.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from builder.evaluation.records import Interval
from builder.families.base import Ints

DRAWS: Final = 1000
LEVEL: Final = 0.95

Reals = npt.NDArray[np.float64]


def resampled(
    truth: Ints, answer: Ints, groups: Ints, width: int, *, seed: int, draws: int = DRAWS
) -> Reals:
    """Confusion matrices [draws, width, width], each of as many groups drawn with replacement."""
    names, number = np.unique(groups, return_inverse=True)
    cells = width * width
    pairs, counts = np.unique(number * cells + truth * width + answer, return_counts=True)
    group, cell = pairs // cells, pairs % cells
    rng = np.random.default_rng(seed)
    tables = np.empty((draws, cells))
    for draw in range(draws):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        tables[draw] = np.bincount(cell, weights=counts * times[group], minlength=cells)
    return tables.reshape(draws, width, width)


def intervals(tables: Reals, labels: tuple[str, ...]) -> dict[str, Interval]:
    """95 % intervals of macro-F1, accuracy, and each class's precision, recall and F1.

    A class that is missing in every draw has no interval.
    """
    hits = np.diagonal(tables, axis1=1, axis2=2)
    answered, support = tables.sum(axis=1), tables.sum(axis=2)
    with np.errstate(invalid="ignore"):
        per_class = {
            "precision": hits / answered,
            "recall": hits / support,
            "f1": 2 * hits / (answered + support),
        }
    scores = {
        "f1_macro": np.nanmean(per_class["f1"], axis=1),
        "accuracy": hits.sum(axis=1) / support.sum(axis=1),
    }
    for metric, values in per_class.items():
        scores |= {f"{metric}:{label}": values[:, k] for k, label in enumerate(labels)}
    return {name: _middle(values) for name, values in scores.items() if np.isfinite(values).any()}


def _middle(values: Reals) -> Interval:
    edge = (1 - LEVEL) / 2
    low, high = np.nanquantile(values, (edge, 1 - edge))
    return Interval(round(float(low), 6), round(float(high), 6))
