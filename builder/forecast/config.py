"""What a user may say about a forecast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from builder.config import Model
from builder.forecast.families import BASELINES, forecasters
from builder.heuristics import HeuristicName
from topologies.faults import fault

Measure = Literal["bytes", "packets", "flows"]
Per = Literal["service", "host", "network", "all"]


class SeriesConfig(Model):
    """Which series to forecast, and how far."""

    of: Measure = Field("bytes", description="what is summed up in each window, both ways")
    per: Per = Field(
        "service", description="one series per protocol and port, per host that begins, …"
    )
    window_s: Annotated[float, Field(gt=0, le=86_400)] = Field(5.0, description="of one window")
    past: Annotated[int, Field(ge=2, le=1000)] = Field(24, description="windows that are seen")
    horizon: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="windows to come: 1 is many to one, more is many to many"
    )
    season: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="windows of a season; null: the one that repeats best in training"
    )
    most_series: Annotated[int, Field(ge=1, le=1000)] = Field(
        20, description="the largest ones; the others are left out"
    )


def known_forecasters(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if each is a forecaster to search, once."""
    searched = [name for name in forecasters() if name not in BASELINES]
    for name in names:
        if name not in searched or names.count(name) > 1:
            raise fault(
                expected=f"families among {', '.join(searched)}, each once",
                got=name,
                remedy="correct the list",
            )
    return names


class ForecastConfig(SeriesConfig):
    """Which series to forecast, how far, and how long to search."""

    test_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3, description="the last share of the time, where no second table is the test"
    )
    families: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(known_forecasters)] = (
        Field(
            ("boosting",), description="searched; naive and seasonal_naive always run beside them"
        )
    )
    heuristic: HeuristicName = Field(
        "random", description="draw at random, by halving, or by tpe: learn where good values lie"
    )
    trials: Annotated[int, Field(ge=1, le=10_000)] = 12
    time_budget_s: Annotated[float, Field(gt=0, le=604_800)] = 300.0
    trial_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    folds: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="stretches of the training time, each judged by what came before it"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    threads: Annotated[int, Field(ge=1, le=256)] = 1
