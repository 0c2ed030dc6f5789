"""How far apart the flows of two runs are, class by class and feature by feature."""

from __future__ import annotations

from typing import Final

import numpy as np

from audit.data import AuditData, Floats, Ints
from audit.learn import Ranks

BINS: Final = 10
FEWEST: Final = 20  # flows of a class on each side, to compare their histograms


def unit_ranks(data: AuditData) -> Floats:
    """The sample's features as ranks from 0 to 1; 0 is unknown."""
    values = data.sample.values
    ranks = Ranks.fit(values)(values).astype(np.float64) + 1
    return np.asarray(ranks / np.maximum(ranks.max(axis=0), 1), dtype=np.float64)


def jensen_shannon(one: Floats, other: Floats) -> float:
    """Mean Jensen-Shannon distance (0 to 1) of the columns of two samples of ranks."""
    from scipy.spatial.distance import jensenshannon

    return float(np.mean(jensenshannon(_histograms(one), _histograms(other), 2, axis=0)))


def _histograms(ranks: Floats) -> Floats:
    """Of each column how many values are in each bin, [bins, columns]; no bin is empty."""
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], ranks, side="right")
    columns = ranks.shape[1]
    counts = np.bincount((bins * columns + np.arange(columns)).ravel(), minlength=BINS * columns)
    return np.asarray(counts.reshape(BINS, columns) + 1e-9, dtype=np.float64)


def between(data: AuditData, ranks: Floats, one: Ints, other: Ints) -> float | None:
    """Mean distance over the classes of two groups of the sample's rows; None without common ones.

    ``ranks`` are of all the sample's rows.
    """
    classes = data.sample.classes
    found = []
    for code in range(len(data.sample.labels)):
        sides = [rows[classes[rows] == code] for rows in (one, other)]
        if min(map(len, sides)) >= FEWEST:
            found.append(jensen_shannon(ranks[sides[0]], ranks[sides[1]]))
    return float(np.mean(found)) if found else None
