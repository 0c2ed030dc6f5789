"""Past windows and those to come: the rows that forecasters learn from, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from builder.families.base import Inputs, Target
from builder.folds import Fold
from builder.forecast.series import Series
from builder.preprocess import Floats
from topologies.errors import InputError, Problem

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """One row per series and moment.

    ``inputs.features`` is float32 [n, past + horizon]: the past windows, oldest first, then the
    windows one season (or whole seasons) before those to come. ``target.values`` is float32
    [n, horizon], its groups are the moments. ``origin`` [n] is the first window to come,
    ``series`` [n] the series.
    """

    inputs: Inputs
    target: Target
    origin: Ints
    series: Ints

    def __len__(self) -> int:
        return len(self.origin)

    def take(self, rows: Ints) -> Rows:
        """These rows."""
        return Rows(
            self.inputs.take(rows), self.target.take(rows), self.origin[rows], self.series[rows]
        )


def make_rows(series: Series, *, past: int, horizon: int, season: int) -> Rows:
    """All rows of all series.

    Raises
    ------
    InputError
        The series are too short for a single row.
    """
    values = series.values
    first = max(past, season)
    origins = np.arange(first, values.shape[1] - horizon + 1)
    if not len(origins):
        raise InputError(
            Problem(
                "series",
                "windows",
                f"{first + horizon} or more, for past, season and horizon",
                f"{values.shape[1]} of {series.window_s:g} s",
                "run for longer, or ask for shorter windows, less past or a shorter season",
            )
        )
    ahead = np.arange(horizon)
    back = -(-(ahead + 1) // season) * season  # whole seasons, so that all of it is past
    seen = values[:, origins[:, None] + np.arange(-past, 0)]
    before = values[:, origins[:, None] + ahead - back]
    target = values[:, origins[:, None] + ahead]
    features = np.concatenate([seen, before], axis=2).reshape(-1, past + horizon)
    moments = np.tile(origins, len(values))
    return Rows(
        Inputs(features.astype(np.float32)),
        Target("forecast", target.reshape(-1, horizon).astype(np.float32), horizon, moments),
        moments,
        np.repeat(np.arange(len(values)), len(origins)),
    )


def latest_rows(series: Series, *, past: int, horizon: int, season: int) -> Floats:
    """The row of each series whose windows to come are after its last: float32 [series, columns].

    Raises
    ------
    InputError
        The series are shorter than the past or the season.
    """
    values = series.values
    longer = np.concatenate([values, np.zeros((len(values), horizon))], axis=1)
    rows = make_rows(
        Series(series.names, longer, series.start_ns, series.window_s),
        past=past,
        horizon=horizon,
        season=season,
    )
    return rows.inputs.take(np.flatnonzero(rows.origin == values.shape[1])).table()


def best_season(values: Doubles, *, horizon: int) -> int:
    """The lag at which training values [series, windows] repeat best, by mean absolute error.

    The strongest seasonal baseline there is; lags up to the horizon are no season.
    """
    lags = range(horizon + 1, max(horizon + 2, values.shape[1] // 2 + 1))
    errors = [np.abs(values[:, lag:] - values[:, :-lag]).mean() for lag in lags]
    return lags[int(np.argmin(errors))] if errors else 1


def rolling_folds(rows: Rows, *, folds: int) -> tuple[Fold, ...]:
    """Expanding windows: each stretch of time is judged by rows that ended before it began."""
    moments = np.unique(rows.origin)
    borders = np.quantile(moments, np.linspace(0.4, 1, folds + 1), method="lower")
    horizon = rows.target.width
    found = []
    for begin, end in pairwise(borders):
        train = np.flatnonzero(rows.origin + horizon <= begin)
        valid = np.flatnonzero((rows.origin >= begin) & (rows.origin < max(end, begin + 1)))
        if len(train) and len(valid):
            found.append(Fold(train, valid))
    if not found:
        raise InputError(
            Problem(
                "series",
                "windows",
                "enough of them to validate on",
                f"{len(moments)}",
                "run for longer, or ask for shorter windows or a shorter horizon",
            )
        )
    return tuple(found)
