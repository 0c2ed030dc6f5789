"""What is done to a flow's numbers before a model sees them. Numpy only: a packaged STA loads it.

The parameters are plain JSON, learnt from training rows by :func:`fit_preprocessing`;
:meth:`Preprocessing.apply` gives the same floats in the builder and in the analyser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Missing = Literal["constant", "median", "median+indicator"]

# Features are counts, sizes and durations, never negative: -1 stays recognisable as "not measured".
CONSTANT: Final = -1.0
RARE: Final = 5  # a category of fewer training rows is "other", so that a model learns that too


@dataclass(frozen=True, slots=True)
class OneHot:
    """A feature that is the number of a category: one column for each kept one, one for others.

    Examples
    --------
    >>> import numpy as np
    >>> OneHot(0, kept=(4, 7)).apply(np.array([7, 5, np.nan], dtype=np.float32)).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    """

    position: int
    kept: tuple[int, ...]

    @property
    def width(self) -> int:
        """Columns that stand for the feature."""
        return len(self.kept) + 1

    def apply(self, numbers: Floats) -> Floats:
        """Columns float32 [n, width] of category numbers [n]; any but the kept ones is other."""
        hits = numbers[:, None] == np.array(self.kept, dtype=np.float32)
        return np.column_stack([hits, ~hits.any(axis=1)]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Clip to the training range, then fill what is missing (NaN or infinite).

    ``fill``, ``low`` and ``high`` hold one value per feature, in feature order. ``indicators``
    are the positions of features that get a further column, 1.0 where the value was missing;
    those columns follow the features. Features that are categories (numbers, see ``one_hot``)
    leave their place, and their columns come last.

    Examples
    --------
    >>> import numpy as np
    >>> steps = Preprocessing(fill=(-1.0,), low=(0.0,), high=(9.0,), indicators=(0,))
    >>> steps.apply(np.array([[20.0], [np.nan]], dtype=np.float32)).tolist()
    [[9.0, 0.0], [-1.0, 1.0]]
    """

    fill: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    indicators: tuple[int, ...] = ()
    one_hot: tuple[OneHot, ...] = ()

    @property
    def width(self) -> int:
        """Columns that :meth:`apply` returns: the width of the model's ``features`` input."""
        ones = sum(one.width - 1 for one in self.one_hot)
        return len(self.fill) + len(self.indicators) + ones

    def apply(self, features: Floats) -> Floats:
        """Preprocess raw ``features`` [n, f] into float32 [n, width]; the input is not changed."""
        known = np.isfinite(features)
        clipped = np.clip(features, _row(self.low), _row(self.high))
        filled = np.where(known, clipped, _row(self.fill))
        if self.indicators:
            missing = ~known[:, list(self.indicators)]
            filled = np.concatenate([filled, missing.astype(np.float32)], axis=1)
        if self.one_hot:
            places = [one.position for one in self.one_hot]
            ones = [one.apply(features[:, one.position]) for one in self.one_hot]
            filled = np.concatenate([np.delete(filled, places, axis=1), *ones], axis=1)
        return np.ascontiguousarray(filled, dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        """The parameters as JSON; ``from_json`` of it is equal to this, bit for bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read what :meth:`to_json` wrote."""
        return cls(
            fill=tuple(values["fill"]),
            low=tuple(values["low"]),
            high=tuple(values["high"]),
            indicators=tuple(values["indicators"]),
            one_hot=tuple(
                OneHot(one["position"], tuple(one["kept"])) for one in values.get("one_hot", ())
            ),
        )


def _row(values: tuple[float, ...]) -> Floats:
    return np.array(values, dtype=np.float32)


def fit_preprocessing(
    features: Floats, *, missing: Missing, categorical: Sequence[int] = ()
) -> Preprocessing:
    """Learn the parameters from training rows [n, f], n at least 1.

    ``categorical`` are the positions of features that are category numbers.
    """
    known = np.isfinite(features)
    empty = ~known.any(axis=0)
    low = np.where(empty, np.float32(CONSTANT), features.min(axis=0, where=known, initial=np.inf))
    high = np.where(empty, np.float32(CONSTANT), features.max(axis=0, where=known, initial=-np.inf))
    fill = np.full(features.shape[1], CONSTANT, dtype=np.float32)
    if missing != "constant":
        for column in np.flatnonzero(~empty):
            fill[column] = np.median(features[known[:, column], column])
    partly = np.setdiff1d(np.flatnonzero(~known.all(axis=0) & ~empty), categorical)
    return Preprocessing(
        fill=tuple(fill.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        indicators=tuple(partly.tolist()) if missing == "median+indicator" else (),
        one_hot=tuple(_one_hot(position, features[:, position]) for position in categorical),
    )


def _one_hot(position: int, numbers: Floats) -> OneHot:
    values, counts = np.unique(numbers[np.isfinite(numbers)].astype(int), return_counts=True)
    often = [int(v) for v, n in zip(values, counts, strict=True) if n >= RARE]
    return OneHot(position, tuple(often))
