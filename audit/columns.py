"""What the values of a column are like: looked at once, for all checks that ask."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

    from audit.data import AuditData

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """Counts are of cells. ``distinct`` takes all NaN for one value; of packet sequences only the
    cells are counted, and what follows ``infinite`` is empty.
    """

    cells: int
    nulls: int
    unknown: int
    """NaN, and no null."""
    infinite: int
    distinct: int = 0
    known: int = 0
    """Distinct finite values."""
    most: int = 0
    """Cells with the most frequent value."""
    low: float = float("nan")
    high: float = float("nan")
    mean: float = float("nan")
    deviation: float = float("nan")
    """The last four are of the finite values; NaN where there are none."""
    digest: bytes = b""
    """Of all bits."""


def look_at(data: AuditData, field: pa.Field) -> Column:
    """Look at one column of features or packet sequences."""
    values = data.values(field.name)
    nulls = data.column(field.name).null_count
    unknown = int(np.isnan(values).sum()) - nulls
    infinite = int(np.isinf(values).sum())
    if values.ndim > 1:
        return Column(values.size, nulls, unknown, infinite)
    worth, counts = np.unique(values, return_counts=True)
    clean = not (nulls or unknown or infinite)
    finite = values if clean else values[np.isfinite(values)]
    low, high, mean, deviation = _spread(finite) if len(finite) else (float("nan"),) * 4
    return Column(
        values.size,
        nulls,
        unknown,
        infinite,
        distinct=len(worth),
        known=int(np.isfinite(worth).sum()),
        most=int(counts.max(initial=0)),
        low=low,
        high=high,
        mean=mean,
        deviation=deviation,
        digest=sha256(values.tobytes()).digest(),
    )


def _spread(values: Floats) -> tuple[float, float, float, float]:
    return float(values.min()), float(values.max()), float(values.mean()), float(values.std())
