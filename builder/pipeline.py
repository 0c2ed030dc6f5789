"""The whole job of the builder: search on the training run, judge once on the test run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from builder.baselines import baseline_note, baseline_trials
from builder.beginning import Beginning
from builder.config import BuildConfig
from builder.data import Data, Part, read_dataset
from builder.drift import quantiles
from builder.evaluation.examine import Examined, examine, require_free_name
from builder.evaluation.finalists import Finalist, choose
from builder.evaluation.records import Findings
from builder.evaluation.shipped import Shipped
from builder.evaluation.speed import measure
from builder.evaluation.study import study
from builder.families import families
from builder.families.base import Family, Target
from builder.folds import Validation, plan_validation
from builder.foreign import FlowTables
from builder.heuristics import HEURISTICS
from builder.journal import TrialJournal, search_key
from builder.objective import Fitted, Objective, Trainer, again
from builder.result import BuildResult, Trial
from builder.runners import Runner
from builder.search import Budget, Listener, Progress, best, search
from builder.versions import versions
from topologies.errors import GstaError, InputError, Problem

EXPORT_TOLERANCE: Final = 1e-5
EXPORT_ROWS: Final = 10_000  # enough to compare the exported model with the trained one


def _silent(_: Progress) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class _Stages:
    """Times the stages of one build."""

    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[name] = self.clock() - start


def build(
    dataset: Path | FlowTables,
    config: BuildConfig,
    *,
    runner: Runner,
    progress: Listener = _silent,
    accept_unreleased: bool = False,
    journal: Callable[[str], Path] | None = None,
    begin: Beginning | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> BuildResult:
    """Find, train and judge a model.

    Parameters
    ----------
    dataset
        A dataset directory, or flows that somebody else labelled.
    config
        What to learn and how long to search.
    runner
        Who evaluates the trials; the result is the same with every runner.
    progress
        Called as each stage starts and after every trial.
    accept_unreleased
        Learn from a dataset that the audit did not release.
    journal
        Says where finished trials are recorded, by a digest of all that their scores depend on;
        those that are there already are not run again.
    begin
        A trained model to begin with; ``config`` is that of `builder.origin.Origin.config`.
    clock
        Seconds that only grow.

    Raises
    ------
    InputError
        The dataset cannot be learnt from as the config says; NotFoundError for a missing file.
    GateError
        The audit did not release the dataset.
    GstaError
        No trial got a score, or the exported model does not answer as the trained one.
    """
    stages = _Stages(clock)
    progress(Progress("read", 0, 1))
    with stages.stage("read"):
        data = _read(dataset, config, accept_unreleased=accept_unreleased)
        trainer = _trainer(config, data, begin)
        require_free_name(data.labels, config, file=data.path)
        validation = _validation(data, config)
    key = search_key(_learnt_from(dataset, data, begin), config)
    known = None if journal is None else TrialJournal(journal(key), key)
    target = Target("classify", data.train.classes, len(data.labels), data.train.groups)
    objective = Objective(trainer, data.train.inputs, target, validation.folds, config.metric)
    with stages.stage("search"):
        trials = search(
            objective,
            trainer.families,
            HEURISTICS[config.heuristic](config.seed),
            runner,
            budget=Budget(config.trials, config.time_budget_s, config.trial_timeout_s),
            progress=progress,
            journal=known,
            clock=clock,
        )
        best_score = _best_score(trials)
        baselines = baseline_trials(objective, data, first=config.trials, seed=config.seed)

    def refit(trial: Trial) -> Finalist:
        every = replace(trainer, families={**families(), **trainer.families})
        return _finalist(trial, every.fit(again(trial), data.train.inputs, target), data.train)

    progress(Progress("refit", 0, 1, best=best_score))
    with stages.stage("refit"):
        finalists = choose(trials, refit, limits=config.limits, beside=baselines)
    candidate = again(finalists.winner.trial)
    progress(Progress("judge", 0, 1, best=best_score))
    with stages.stage("judge"):
        examined = examine(data, objective, finalists, candidate, config)
    progress(Progress("study", 0, 1, best=best_score))
    with stages.stage("study"):
        findings = study(data, objective, candidate, examined, config, clock=clock)
    found = _Found(validation, trials, baselines, finalists.winner.trial, examined, findings)
    return _result(data, config, found, stages.seconds)


def _read(dataset: Path | FlowTables, config: BuildConfig, *, accept_unreleased: bool) -> Data:
    if isinstance(dataset, Path):
        return read_dataset(dataset, config, accept_unreleased=accept_unreleased)
    return dataset.read(config)


def _learnt_from(dataset: Path | FlowTables, data: Data, begin: Beginning | None) -> str:
    """The files, what was read from those of somebody else, and the model to begin with."""
    parts = [data.sha256]
    if not isinstance(dataset, Path):
        read = sha256("\n".join(data.labels).encode())
        for array in (data.train.classes, data.train.groups, data.train.inputs.features):
            read.update(b"" if array is None else array.tobytes())
        parts.append(read.hexdigest())
    return " ".join(parts if begin is None else [*parts, begin.digest])


def _trainer(config: BuildConfig, data: Data, begin: Beginning | None) -> Trainer:
    if begin is None:
        return Trainer(_families(config, data), config.missing, config.threads, data.categorical)
    begin.origin.require(data)
    steps = begin.origin.preprocessing
    family = begin.towards(data.labels)
    return Trainer({begin.name: family}, config.missing, config.threads, steps=steps)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the stages after reading came to."""

    validation: Validation
    trials: tuple[Trial, ...]
    baselines: tuple[Trial, ...]
    winner: Trial
    examined: Examined
    findings: Findings


def _families(config: BuildConfig, data: Data) -> dict[str, Family]:
    chosen = {name: families()[name] for name in config.families}
    lacking = {name: sorted(f.uses - data.offers) for name, f in chosen.items()}
    problems = [
        Problem(
            file=data.path,
            path=f"families: {name}",
            expected=f"{' and '.join(uses)} among the chosen features",
            got=", ".join(sorted(data.offers)),
            remedy="choose features.set all, or other families",
        )
        for name, uses in lacking.items()
        if uses
    ]
    if problems:
        raise InputError(problems)
    return chosen


def _validation(data: Data, config: BuildConfig) -> Validation:
    return plan_validation(
        data.train.classes,
        data.train.groups,
        folds=config.folds,
        seed=config.seed,
        labels=data.labels,
        units=data.train.units,
    )


def _best_score(trials: tuple[Trial, ...]) -> float:
    winner = best(trials)
    if winner is None or winner.score is None:
        reasons = sorted({f"{trial.family}: {trial.error}" for trial in trials})
        raise GstaError(f"none of {len(trials)} trials got a score: {'; '.join(reasons[:5])}")
    return winner.score


def _finalist(trial: Trial, fitted: Fitted, part: Part) -> Finalist:
    """Export a model and measure it; what it answers must be what the trained one does."""
    shipped = Shipped.export(fitted)
    inputs = fitted.prepare(part.inputs.take(np.arange(min(len(part), EXPORT_ROWS))))
    error = float(np.abs(fitted.model.predict(inputs) - shipped.model.predict(inputs)).max())
    if not error <= EXPORT_TOLERANCE:
        raise GstaError(
            f"the exported {fitted.family.name} differs from the trained one by {error:g}, "
            f"more than {EXPORT_TOLERANCE:g}; please report it"
        )
    speed = measure(shipped, part.inputs, size_bytes=len(shipped.onnx))
    return Finalist(trial, fitted, shipped, speed)


def _notes(data: Data, found: _Found) -> tuple[str, ...]:
    notes = (*data.notes, *found.validation.notes, *baseline_note(found.winner, found.baselines))
    shared = sorted(set(data.train.runs) & set(data.test.runs))
    if not shared:
        return notes
    return (*notes, f"trained and tested on flows of the same run: {', '.join(shared)}")


def _result(
    data: Data, config: BuildConfig, found: _Found, timings: dict[str, float]
) -> BuildResult:
    shipped = found.examined.shipped
    raw = data.train.inputs.only(shipped.fitted.family.uses)
    return BuildResult(
        task=config.task,
        positive=config.positive,
        labels=data.labels,
        features=data.features if raw.features is not None else (),
        sequence_length=None if raw.sequences is None else int(raw.sequences.shape[1]),
        sequence_channels=data.channels if raw.sequences is not None else (),
        preprocessing=shipped.fitted.steps,
        quantiles=quantiles(raw.features, categorical=data.categorical),
        trials=(*found.trials, *found.baselines),
        winner=found.winner,
        validation_score=found.winner.score or 0.0,
        validation=found.validation.method,
        metric=config.metric,
        test=found.findings.test.evaluation,
        onnx=shipped.onnx,
        dataset_path=data.path,
        dataset_sha256=data.sha256,
        train_runs=data.train.runs,
        test_runs=data.test.runs,
        train_flows=len(data.train),
        skipped_rows=data.skipped,
        seed=config.seed,
        config=config.model_dump(mode="json"),
        versions=versions(),
        timings=timings,
        calibration=shipped.calibration,
        threshold=shipped.threshold,
        novelty=found.examined.novelty,
        findings=found.findings,
        unseen=None if found.findings.unseen is None else found.findings.unseen.evaluation,
        notes=_notes(data, found),
        table=data.table,
        unseen_runs=data.unseen.runs if data.unseen else (),
    )
