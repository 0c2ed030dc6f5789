"""The whole job of the builder: search on the training run, judge once on the test run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from builder.config import BuildConfig
from builder.data import Data, Part, read_dataset
from builder.drift import quantiles
from builder.families import families
from builder.families.base import Family, Target
from builder.folds import Validation, plan_validation
from builder.heuristics import HEURISTICS
from builder.journal import TrialJournal, search_key
from builder.metrics import evaluate
from builder.objective import Fitted, Objective, Trainer, again
from builder.result import BuildResult, Evaluation, Trial
from builder.runners import Runner
from builder.search import Budget, Listener, Progress, best, search
from builder.serving import OnnxModel
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
    dataset: Path,
    config: BuildConfig,
    *,
    runner: Runner,
    progress: Listener = _silent,
    accept_unreleased: bool = False,
    journal: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> BuildResult:
    """Find, train and judge a model.

    Parameters
    ----------
    dataset
        A dataset directory.
    config
        What to learn and how long to search.
    runner
        Who evaluates the trials; the result is the same with every runner.
    progress
        Called as each stage starts and after every trial.
    accept_unreleased
        Learn from a dataset that the audit did not release.
    journal
        Where finished trials are recorded; those that are there already are not run again.
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
        data = read_dataset(dataset, config, accept_unreleased=accept_unreleased)
        trainer = Trainer(_families(config, data), config.missing, config.threads)
        validation = _validation(data, config)
    known = None if journal is None else TrialJournal(journal, search_key(data.sha256, config))
    target = Target("classify", data.train.classes, len(data.labels))
    with stages.stage("search"):
        trials = search(
            Objective(trainer, data.train.inputs, target, validation.folds, config.metric),
            HEURISTICS[config.heuristic](config.seed),
            runner,
            budget=Budget(config.trials, config.time_budget_s, config.trial_timeout_s),
            progress=progress,
            journal=known,
            clock=clock,
        )
        winner = _winner(trials)
    progress(Progress("refit", 0, 1, best=winner.score))
    with stages.stage("refit"):
        fitted = trainer.fit(again(winner), data.train.inputs, target)
        onnx = fitted.model.export()
        _require_same_answers(fitted, onnx, data.train)
    progress(Progress("judge", 0, 1, best=winner.score))
    with stages.stage("judge"):
        verdict = _judge(fitted, onnx, data.test, data.labels)
        unseen = _judge(fitted, onnx, data.unseen, data.labels) if data.unseen else None
    found = _Found(validation, trials, winner, fitted, onnx, verdict, unseen)
    return _result(data, config, found, stages.seconds)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the stages after reading came to."""

    validation: Validation
    trials: tuple[Trial, ...]
    winner: Trial
    fitted: Fitted
    onnx: bytes
    verdict: Evaluation
    unseen: Evaluation | None


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
    )


def _winner(trials: tuple[Trial, ...]) -> Trial:
    winner = best(trials)
    if winner is None:
        reasons = sorted({f"{trial.family}: {trial.error}" for trial in trials})
        raise GstaError(f"none of {len(trials)} trials got a score: {'; '.join(reasons[:5])}")
    return winner


def _require_same_answers(fitted: Fitted, onnx: bytes, part: Part) -> None:
    inputs = fitted.prepare(part.inputs.take(np.arange(min(len(part), EXPORT_ROWS))))
    error = float(np.abs(fitted.model.predict(inputs) - OnnxModel(onnx).predict(inputs)).max())
    if not error <= EXPORT_TOLERANCE:
        raise GstaError(
            f"the exported {fitted.family.name} differs from the trained one by {error:g}, "
            f"more than {EXPORT_TOLERANCE:g}; please report it"
        )


def _judge(fitted: Fitted, onnx: bytes, part: Part, labels: tuple[str, ...]) -> Evaluation:
    """The one look at a run that judges, through the model that will be shipped."""
    answer = OnnxModel(onnx).predict(fitted.prepare(part.inputs))
    return evaluate(part.classes, answer.argmax(axis=1).astype(np.int64), labels)


def _notes(data: Data, validation: Validation) -> tuple[str, ...]:
    shared = sorted(set(data.train.runs) & set(data.test.runs))
    if not shared:
        return validation.notes
    return (*validation.notes, f"trained and tested on flows of the same run: {', '.join(shared)}")


def _result(
    data: Data, config: BuildConfig, found: _Found, timings: dict[str, float]
) -> BuildResult:
    uses = found.fitted.family.uses
    raw = data.train.inputs.only(uses)
    return BuildResult(
        task=config.task,
        positive=config.positive,
        labels=data.labels,
        features=data.features if raw.features is not None else (),
        sequence_length=None if raw.sequences is None else int(raw.sequences.shape[1]),
        sequence_channels=data.channels if raw.sequences is not None else (),
        preprocessing=found.fitted.steps,
        quantiles=quantiles(raw.features),
        trials=found.trials,
        winner=found.winner,
        validation_score=found.winner.score or 0.0,
        validation=found.validation.method,
        metric=config.metric,
        test=found.verdict,
        onnx=found.onnx,
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
        notes=_notes(data, found.validation),
        unseen=found.unseen,
        unseen_runs=data.unseen.runs if data.unseen else (),
    )
