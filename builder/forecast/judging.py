"""Families beside each other on the test windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from builder.forecast.metrics import Doubles, errors, gain
from builder.forecast.result import Judged, SeriesScore
from builder.forecast.windows import Rows
from builder.preprocess import Floats
from builder.result import Trial

SEASONAL: Final = "seasonal_naive"
SHOWN: Final = 3  # series whose lines are kept

Answers = Mapping[str, Floats]  # of families, [n, horizon] each


def judged(
    rows: Rows, answers: Answers, trials: Mapping[str, Trial], *, seed: int
) -> tuple[Judged, ...]:
    """Errors of each family's answers, in their order, and its gain on the seasonal naive one."""
    truth = _doubles(rows.target.values)
    return tuple(
        Judged(
            family,
            trials[family].number,
            -(trials[family].score or 0.0),
            errors(truth, answer),
            gain(truth, _doubles(answer), _doubles(answers[SEASONAL]), rows.origin, seed=seed),
        )
        for family, answer in answers.items()
    )


def series_scores(
    rows: Rows, answers: Answers, winner: str, names: tuple[str, ...]
) -> tuple[SeriesScore, ...]:
    """How well each series is forecast, the first series first."""
    found = []
    for place, number in enumerate(np.unique(rows.series)):
        own = np.flatnonzero(rows.series == number)
        truth = rows.target.values[own]
        said, seasonal = answers[winner][own], answers[SEASONAL][own]
        found.append(
            SeriesScore(
                names[number],
                float(truth.mean()),
                float(np.abs(truth - said).mean()),
                float(np.abs(truth - seasonal).mean()),
                *(
                    tuple(_doubles(one[:, 0]).tolist()) if place < SHOWN else ()
                    for one in (truth, said, seasonal)
                ),
            )
        )
    return tuple(found)


def step_errors(rows: Rows, answers: Answers, winner: str) -> tuple[tuple[float, float], ...]:
    """MAE of the winner and of the seasonal naive forecast for each window ahead."""
    truth = _doubles(rows.target.values)
    ours, theirs = (
        np.abs(truth - answers[name]).mean(axis=0).tolist() for name in (winner, SEASONAL)
    )
    return tuple(zip(ours, theirs, strict=True))


def _doubles(values: npt.ArrayLike) -> Doubles:
    return np.asarray(values, dtype=np.float64)
