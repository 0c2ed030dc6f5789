"""The operating point of a detector: how likely the positive class must be to be answered."""

from __future__ import annotations

from typing import Final

import numpy as np

from builder.decision import EVEN
from builder.families.base import Ints
from builder.metrics import METRICS, Metric
from builder.preprocess import Floats

INSTEAD: Final = "f1_macro"  # of an area under a curve, which is of all thresholds
MIN_POSITIVE: Final = 30  # flows of either class; with fewer a threshold is noise


def best_threshold(truth: Ints, probabilities: Floats, *, metric: Metric) -> float:
    """The probability of class 1 above which answering it scores best.

    It lies half-way between two neighbouring out-of-fold answers. Of thresholds that score alike
    the one in the widest gap is taken, for there least flows are near; `EVEN` where no other is
    better, or there are too few flows to tell.

    Parameters
    ----------
    truth
        Class number of each row, 0 or 1, [n].
    probabilities
        Answers [n, 2] of models that had not seen the row.
    """
    positive, negative = int(truth.sum()), int(len(truth) - truth.sum())
    if min(positive, negative) < MIN_POSITIVE:
        return EVEN
    said = probabilities[:, 1].astype(np.float64)
    levels, place = np.unique(said, return_inverse=True)
    if len(levels) < 2:
        return EVEN
    # Class 1 is answered from level k + 1 on, for each k.
    found = positive - np.cumsum(np.bincount(place, weights=truth))[:-1]
    alarms = negative - np.cumsum(np.bincount(place, weights=1 - truth))[:-1]
    scores = np.array(
        [_score(int(hits), int(false), positive, negative, metric)
         for hits, false in zip(found, alarms, strict=True)]
    )  # fmt: skip
    even = said > EVEN
    now = _score(int(truth[even].sum()), int((1 - truth[even]).sum()), positive, negative, metric)
    if scores.max() <= now:
        return EVEN
    gaps = np.where(scores == scores.max(), np.diff(levels), -1.0)
    best = int(gaps.argmax())
    return round(float(levels[best] + levels[best + 1]) / 2, 6)


def _score(found: int, alarms: int, positive: int, negative: int, metric: Metric) -> float:
    table = np.array([[negative - alarms, alarms], [positive - found, found]], dtype=np.int64)
    return METRICS.get(metric, METRICS[INSTEAD])(table)
