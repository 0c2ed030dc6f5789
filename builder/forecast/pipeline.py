"""The whole job of a forecast: series, search on the past, one look at the test windows.

Time is never shuffled: what trains ended before what validates, and that before what judges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from builder.families.base import Inputs, Model
from builder.folds import Fold
from builder.forecast.config import ForecastConfig
from builder.forecast.data import Runs
from builder.forecast.families import BASELINES, forecasters
from builder.forecast.metrics import errors, gain
from builder.forecast.result import ForecastResult, Judged
from builder.forecast.windows import Rows, best_season, make_rows, rolling_folds
from builder.objective import TRIAL_ERRORS, Candidate, failed
from builder.preprocess import Floats
from builder.result import Trial
from builder.search import best
from builder.serving import OnnxModel
from builder.space import draw
from builder.versions import versions
from topologies.errors import GstaError, InputError, Problem

EXPORT_TOLERANCE: Final = 1e-5  # relative: sums of windows are large numbers

Listener = Callable[[Trial], None]


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
    progress: Listener = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> ForecastResult:
    """Find, train and judge a forecaster.

    Parameters
    ----------
    progress
        Called after every trial.
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
    folds = rolling_folds(split.train, folds=config.folds)
    trials = []
    for candidate in _candidates(config, clock):
        trials.append(_trial(candidate, split.train, folds, config.threads, clock))
        progress(trials[-1])
    searched = [trial for trial in trials if trial.family not in BASELINES]
    winner = best(searched)
    if winner is None:
        reasons = sorted({str(trial.error) for trial in searched}) or ["no time was left"]
        raise GstaError(f"no trial got a score: {'; '.join(reasons[:5])}")
    model = _fit(winner, split.train, config)
    answers = {winner.family: _served(model, split.test.inputs)}
    for trial in trials:
        if trial.family in BASELINES:
            answers[trial.family] = _fit(trial, split.train, config).predict(split.test.inputs)
    scores = {t.family: -(t.score or 0.0) for t in (*trials, winner)}
    return ForecastResult(
        config=config.model_dump(mode="json"),
        series=runs.train.names,
        season=split.season,
        season_found=config.season is None,
        split=split.says,
        trials=tuple(trials),
        winner=winner,
        judged=_judged(split.test, answers, scores, config.seed),
        train_rows=len(split.train),
        test_rows=len(split.test),
        onnx=model.export(),
        source=runs.source,
        source_sha256=runs.sha256,
        versions=versions(),
        example=_example(split.test, answers, winner.family),
    )


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


def _candidates(config: ForecastConfig, clock: Callable[[], float]) -> Iterator[Candidate]:
    """The baselines, then draws of the families in turn, each from its number and the seed."""
    begin = clock()
    for place, name in enumerate(BASELINES):
        yield Candidate(config.trials + place, name, {}, config.seed)
    searched = [name for name in config.families if name not in BASELINES]
    for number in range(config.trials if searched else 0):
        if clock() - begin > config.time_budget_s:
            return
        family = searched[number % len(searched)]
        rng = np.random.default_rng([config.seed, number])
        params = draw(forecasters()[family].space, rng)
        yield Candidate(number, family, params, int(rng.integers(2**31)))


def _trial(
    candidate: Candidate,
    rows: Rows,
    folds: tuple[Fold, ...],
    threads: int,
    clock: Callable[[], float],
) -> Trial:
    begin, scores = clock(), list[float]()
    family = forecasters()[candidate.family]
    try:
        for fold in folds:
            train, valid = rows.take(fold.train), rows.take(fold.valid)
            model = family.fit(
                train.inputs,
                train.target,
                params=candidate.params,
                seed=candidate.seed,
                threads=threads,
            )
            scores.append(-errors(valid.target.values, model.predict(valid.inputs)).mae)
        if not np.isfinite(scores).all():
            raise FloatingPointError("the forecast is not finite")
    except TRIAL_ERRORS as error:
        why = f"{type(error).__name__}: {error}"
        return failed(candidate, why, seconds=clock() - begin, scores=[])
    return Trial(
        number=candidate.number,
        family=candidate.family,
        params=candidate.params,
        fold_scores=tuple(scores),
        score=float(np.mean(scores)),
        seconds=clock() - begin,
        status="ok",
    )


def _fit(trial: Trial, rows: Rows, config: ForecastConfig) -> Model:
    seed = int(np.random.default_rng([config.seed, trial.number]).integers(2**31))
    return forecasters()[trial.family].fit(
        rows.inputs, rows.target, params=trial.params, seed=seed, threads=config.threads
    )


def _served(model: Model, inputs: Inputs) -> Floats:
    """The answer of the model that will be shipped."""
    native, answer = model.predict(inputs), OnnxModel(model.export()).predict(inputs)
    away = float((np.abs(native - answer) / (1 + np.abs(native))).max())
    if not away <= EXPORT_TOLERANCE:
        raise GstaError(f"the exported model differs from the trained one by {away:g} of a value")
    return answer


def _judged(
    rows: Rows, answers: dict[str, Floats], scores: dict[str, float], seed: int
) -> tuple[Judged, ...]:
    truth = rows.target.values.astype(np.float64)
    seasonal = answers["seasonal_naive"].astype(np.float64)
    return tuple(
        Judged(
            family,
            scores[family],
            errors(truth, answer),
            gain(truth, answer.astype(np.float64), seasonal, rows.origin, seed=seed),
        )
        for family, answer in answers.items()
    )


def _example(rows: Rows, answers: dict[str, Floats], winner: str) -> dict[str, tuple[float, ...]]:
    first = np.flatnonzero(rows.series == rows.series.min())
    lines = {"truth": rows.target.values, winner: answers[winner]}
    lines["seasonal_naive"] = answers["seasonal_naive"]
    return {name: tuple(values[first, 0].astype(float).tolist()) for name, values in lines.items()}
