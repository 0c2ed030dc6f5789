"""How the training features were distributed: what later drift is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from builder.preprocess import Floats
from builder.result import Quantiles

PROBABILITIES: Final = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def quantiles(features: Floats | None, *, categorical: Sequence[int] = ()) -> Quantiles:
    """Quantiles of each column of raw training rows [n, f]; nothing for a model without features.

    They are values that occurred (the next lower one), so they stay exact in float32. Features
    at ``categorical`` are numbers of categories and have none.
    """
    columns = [] if features is None else list(features.T)
    known = [column[np.isfinite(column)] for column in columns]

    def at_probabilities(column: Floats) -> tuple[float, ...]:
        return tuple(np.quantile(column, PROBABILITIES, method="lower").tolist())

    return Quantiles(
        probabilities=PROBABILITIES,
        values=tuple(
            at_probabilities(column) if len(column) and place not in categorical else ()
            for place, column in enumerate(known)
        ),
        missing=tuple(
            1.0 - len(some) / len(column) for some, column in zip(known, columns, strict=True)
        ),
    )
