"""The whole job of a forecast: series, search on the past, one look at the test windows.

Time is never shuffled: what trains ended before what validates, and that before what judges. The
search is that of `builder.search`, with its heuristics, runners and journal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from builder.families.base import Inputs, Model
from builder.forecast.config import ForecastConfig
from builder.forecast.data import Runs
from builder.forecast.families import BASELINES, forecasters
from builder.forecast.judging import judged, series_scores, step_errors
from builder.forecast.result import ForecastResult
from builder.forecast.windows import Rows, best_season, make_rows, rolling_folds
from builder.heuristics import HEURISTICS
from builder.journal import TrialJournal, search_key
from builder.objective import Candidate, Objective, Trainer, again
from builder.preprocess import Floats, Preprocessing
from builder.result import Trial
from builder.runners import Runner, SerialRunner
from builder.search import Budget, Listener, Progress, best, search
from builder.serving import OnnxModel
from builder.versions import versions
from topologies.errors import GstaError, InputError, Problem

EXPORT_TOLERANCE: Final = 1e-5  # relative: sums of windows are large numbers


def _silent(_: Progress) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class _Split:
    train: Rows
    test: Rows
    season: int
    says: str


def forecast(
    runs: Runs,
    config: ForecastConfig,
    *,
    runner: Runner | None = None,
    progress: Listener = _silent,
    journal: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ForecastResult:
    """Find, train and judge a forecaster.

    Parameters
    ----------
    runner
        Who evaluates the trials; None: this process, one after the other.
    progress
        Called after every trial.
    journal
        Where finished trials are recorded; those that are there already are not run again.
    clock
        Seconds that only grow.

    Raises
    ------
    InputError
        The series are too short.
    GstaError
        No trial got a score, or the exported model does not answer as the trained one.
    """
    split = _split(runs, config)
    objective = _objective(split.train, config)
    searched = search(
        objective,
        objective.trainer.families,
        HEURISTICS[config.heuristic](config.seed),
        runner or SerialRunner(),
        budget=Budget(config.trials, config.time_budget_s, config.trial_timeout_s),
        progress=progress,
        journal=None if journal is None else TrialJournal(journal, forecast_key(runs, config)),
        clock=clock,
    )
    every = replace(objective, trainer=replace(objective.trainer, families=forecasters()))
    baselines = tuple(
        every(Candidate(config.trials + place, name, {}, config.seed))
        for place, name in enumerate(BASELINES)
    )
    chosen = _chosen(searched, baselines)
    models = {name: _fit(trial, every.trainer, split.train) for name, trial in chosen.items()}
    winner = next(iter(chosen.values()))
    answers = {name: model.predict(split.test.inputs) for name, model in models.items()}
    onnx = models[winner.family].export()
    answers[winner.family] = _served(onnx, answers[winner.family], split.test.inputs)
    return ForecastResult(
        config=config.model_dump(mode="json"),
        series=runs.train.names,
        season=split.season,
        season_found=config.season is None,
        split=split.says,
        trials=(*searched, *baselines),
        winner=winner,
        judged=judged(split.test, answers, chosen, seed=config.seed),
        train_rows=len(split.train),
        test_rows=len(split.test),
        onnx=onnx,
        source=runs.source,
        source_sha256=runs.sha256,
        versions=versions(),
        scores=series_scores(split.test, answers, winner.family, runs.train.names),
        steps=step_errors(split.test, answers, winner.family),
    )


def forecast_key(runs: Runs, config: ForecastConfig) -> str:
    """A digest of all that the score of given hyperparameters depends on."""
    return search_key(runs.sha256, config)


def _split(runs: Runs, config: ForecastConfig) -> _Split:
    shape = {"past": config.past, "horizon": config.horizon}
    length = runs.train.values.shape[1]
    border = length if runs.test is not None else round(length * (1 - config.test_share))
    season = config.season or best_season(runs.train.values[:, :border], horizon=config.horizon)
    rows = make_rows(runs.train, **shape, season=season)
    train = rows.take(np.flatnonzero(rows.origin + config.horizon <= border))
    if runs.test is not None:
        test, says = make_rows(runs.test, **shape, season=season), "the windows of another run"
    else:
        test = rows.take(np.flatnonzero(rows.origin >= border))
        says = f"the last {length - border} of {length} windows of the run"
    if not len(train) or not len(test):
        raise InputError(
            Problem(
                runs.source,
                "windows",
                f"more than {max(config.past, season) + 2 * config.horizon}",
                f"{length} of {config.window_s:g} s",
                "run for longer, or ask for shorter windows, less past or a shorter season",
            )
        )
    return _Split(train, test, season, says)


def _objective(rows: Rows, config: ForecastConfig) -> Objective:
    width = rows.inputs.table().shape[1]
    as_it_is = Preprocessing((0.0,) * width, (0.0,) * width, (math.inf,) * width)
    families = {name: forecasters()[name] for name in config.families}
    trainer = Trainer(families, "constant", config.threads, steps=as_it_is)
    folds = rolling_folds(rows, folds=config.folds)
    return Objective(trainer, rows.inputs, rows.target, folds)


def _chosen(searched: tuple[Trial, ...], baselines: tuple[Trial, ...]) -> dict[str, Trial]:
    """The best trial of each family by name: the winner first, the baselines last."""
    by_family: dict[str, list[Trial]] = {}
    for trial in searched:
        by_family.setdefault(trial.family, []).append(trial)
    found = [one for one in map(best, by_family.values()) if one is not None]
    if not found:
        reasons = sorted({str(trial.error) for trial in searched})
        raise GstaError(f"no trial got a score: {'; '.join(reasons[:5])}")
    found.sort(key=lambda trial: -(trial.score or 0.0))
    return {trial.family: trial for trial in (*found, *baselines)}


def _fit(trial: Trial, trainer: Trainer, rows: Rows) -> Model:
    return trainer.fit(again(trial), rows.inputs, rows.target).model


def _served(onnx: bytes, native: Floats, inputs: Inputs) -> Floats:
    """The answer of the model that will be shipped."""
    answer = OnnxModel(onnx).predict(inputs)
    away = float((np.abs(native - answer) / (1 + np.abs(native))).max())
    if not away <= EXPORT_TOLERANCE:
        raise GstaError(f"the exported model differs from the trained one by {away:g} of a value")
    return answer
