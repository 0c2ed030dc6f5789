"""Errors of a forecast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors over all rows and steps; low is good.

    ``mape`` is over the windows whose truth is not 0, where alone it is defined, and ``zeros`` is
    the share of the others; None where all are. ``smape`` is in [0, 2], and 0 where forecast and
    truth are both 0.
    """

    mae: float
    mse: float
    mape: float | None
    smape: float
    zeros: float


def errors(truth: npt.ArrayLike, answer: npt.ArrayLike) -> Errors:
    """Compare a forecast with what came, arrays of one shape.

    Examples
    --------
    >>> errors([[0, 10, 20]], [[1, 10, 10]])
    Errors(mae=3.6666666666666665, mse=33.666666666666664, mape=0.25, smape=0.8888888888888888, \
zeros=0.3333333333333333)
    """
    real, said = np.asarray(truth, dtype=np.float64), np.asarray(answer, dtype=np.float64)
    away = np.abs(real - said)
    size = np.abs(real) + np.abs(said)
    known = real != 0
    relative = np.divide(2 * away, size, out=np.zeros_like(away), where=size > 0)
    return Errors(
        mae=float(away.mean()),
        mse=float((away**2).mean()),
        mape=float((away[known] / np.abs(real[known])).mean()) if known.any() else None,
        smape=float(relative.mean()),
        zeros=float(1 - known.mean()),
    )


def gain(truth: Doubles, answer: Doubles, baseline: Doubles, origin: npt.NDArray[np.int64], *,
         seed: int, draws: int = 500) -> tuple[float, float, float]:  # fmt: skip
    """How much smaller the MAE is than the baseline's, as a share, and its 95 % interval.

    The bootstrap draws moments, with all series and steps of each: they are not independent.
    """
    moments, place = np.unique(origin, return_inverse=True)
    ours, theirs = (
        np.bincount(place, weights=np.abs(truth - said).sum(axis=1), minlength=len(moments))
        for said in (answer, baseline)
    )
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(moments), size=(draws, len(moments)))
    drawn = 1 - ours[picked].sum(axis=1) / np.maximum(theirs[picked].sum(axis=1), 1e-12)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(1 - ours.sum() / max(theirs.sum(), 1e-12)), float(low), float(high)
