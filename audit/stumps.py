"""How well one split of one feature tells a class from the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def best_splits(values: Floats, codes: Ints, classes: int) -> tuple[Floats, Floats]:
    """Per class, the best balanced accuracy over all thresholds of a feature, and where.

    Parameters
    ----------
    values
        [rows]; unknown values (NaN) stand below all others.
    codes
        [rows]: the number of each row's class, below ``classes``.
    """
    values = np.where(np.isnan(values), -np.inf, values)
    order = np.argsort(values, kind="stable")
    values, codes = values[order], codes[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    below = np.arange(1, len(values) + 1)[ends]
    accuracy, threshold = np.empty(classes), np.empty(classes)
    for place in range(classes):
        hits = np.cumsum(codes == place)[ends]
        size = hits[-1]
        if not 0 < size < len(values):
            accuracy[place], threshold[place] = 0.5, values[0]
            continue
        recall, fallout = hits / size, (below - hits) / (len(values) - size)
        balanced = 0.5 + 0.5 * np.abs(recall - fallout)
        at = int(np.argmax(balanced))
        accuracy[place], threshold[place] = balanced[at], values[ends[at]]
    return accuracy, threshold
