"""The objective function of the search: hyperparameters in, validation score out."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from builder.families.base import Family, Gradual, Inputs, Model, Target
from builder.folds import Fold
from builder.metrics import Floats, Ints, Metric, score
from builder.preprocess import Missing, Preprocessing, fit_preprocessing
from builder.result import Param, Trial
from topologies.errors import MachineError

# What libraries raise when hyperparameters and data do not go together.
TRIAL_ERRORS: Final = (
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Hyperparameters to try."""

    number: int
    family: str
    params: dict[str, Param]
    seed: int
    limit_s: float = math.inf
    budget: float = 1.0  # share of the full training, for a family that can be trained in part


def again(trial: Trial) -> Candidate:
    """The candidate of a trial, to train it once more."""
    return Candidate(trial.number, trial.family, trial.params, trial.seed, budget=trial.budget)


def failed(candidate: Candidate, error: str, *, seconds: float, scores: list[float]) -> Trial:
    """The record of a candidate that got no score."""
    return Trial(
        number=candidate.number,
        family=candidate.family,
        params=candidate.params,
        fold_scores=tuple(scores),
        score=None,
        seconds=seconds,
        status="failed",
        error=error,
        seed=candidate.seed,
        budget=candidate.budget,
    )


def overrun(candidate: Candidate, *, seconds: float, scores: list[float]) -> Trial:
    """The record of a candidate that took too long."""
    message = f"stopped after {seconds:.1f} s; its limit was {candidate.limit_s:.1f} s"
    return failed(candidate, message, seconds=seconds, scores=scores)


def _prepare(raw: Inputs, family: Family, steps: Preprocessing) -> Inputs:
    seen = raw.only(family.uses)
    return seen if seen.features is None else replace(seen, features=steps.apply(seen.features))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and the preprocessing that it was trained with."""

    family: Family
    model: Model
    steps: Preprocessing

    def prepare(self, raw: Inputs) -> Inputs:
        """Raw inputs as the model sees them."""
        return _prepare(raw, self.family, self.steps)


@dataclass(frozen=True, slots=True)
class Trainer:
    """Fits candidates on the rows that it is given, and on nothing else."""

    families: Mapping[str, Family]
    missing: Missing
    threads: int
    categorical: tuple[int, ...] = ()  # positions of features that are category numbers
    steps: Preprocessing | None = None  # where it is given and not learnt

    def fit(
        self, candidate: Candidate, raw: Inputs, target: Target, *, resume: Fitted | None = None
    ) -> Fitted:
        """Learn preprocessing, then the model; ``resume`` is of the same rows and less budget."""
        family = self.families[candidate.family]
        table = raw.only(family.uses).features
        steps = Preprocessing((), (), ())
        if table is not None and self.steps is not None:
            steps = self.steps
        elif table is not None:
            steps = fit_preprocessing(table, missing=self.missing, categorical=self.categorical)
        seen = _prepare(raw, family, steps)
        if isinstance(family, Gradual):
            model = family.fit(
                seen,
                target,
                params=candidate.params,
                seed=candidate.seed,
                threads=self.threads,
                budget=candidate.budget,
                resume=None if resume is None else resume.model,
            )
        else:
            model = family.fit(
                seen,
                target,
                params=candidate.params,
                seed=candidate.seed,
                threads=self.threads,
            )
        return Fitted(family, model, steps)


class Checkpoints:
    """The last models of one process that were trained in part, by candidate and fold."""

    def __init__(self, most: int = 48) -> None:
        self._most = most
        self._models: OrderedDict[tuple[int, int], Fitted] = OrderedDict()

    @property
    def numbers(self) -> frozenset[int]:
        """Of the candidates whose training can go on."""
        return frozenset(number for number, _ in self._models)

    def take(self, candidate: Candidate, fold: int) -> Fitted | None:
        """The model to go on from; it is kept no longer."""
        return self._models.pop((candidate.number, fold), None)

    def keep(self, candidate: Candidate, fold: int, fitted: Fitted) -> None:
        """Keep a model, unless its training is complete; the oldest make room."""
        if candidate.budget < 1:
            self._models[candidate.number, fold] = fitted
        while len(self._models) > self._most:
            self._models.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Objective:
    """Mean validation score of a candidate. Holds training rows only; travels to the workers.

    ``metric`` is of classes; a forecast's score is its negative mean absolute error.
    """

    trainer: Trainer
    inputs: Inputs
    target: Target
    folds: tuple[Fold, ...]
    metric: Metric = "f1_macro"
    clock: Callable[[], float] = time.perf_counter

    def __call__(self, candidate: Candidate, kept: Checkpoints | None = None) -> Trial:
        """Score a candidate; a failure is a record, not an exception.

        ``kept`` are models of this process that its training may go on from.

        Raises
        ------
        MachineError
            A library is missing, which is no fault of the candidate.
        """
        start, scores = self.clock(), list[float]()
        kept = kept or Checkpoints(0)
        try:
            for fold in range(len(self.folds)):
                if self.clock() - start > candidate.limit_s:
                    return overrun(candidate, seconds=self.clock() - start, scores=scores)
                scores.append(self._score(candidate, fold, kept))
        except MachineError:
            raise
        except TRIAL_ERRORS as error:
            message = f"{type(error).__name__}: {error}"
            return failed(candidate, message, seconds=self.clock() - start, scores=scores)
        return Trial(
            number=candidate.number,
            family=candidate.family,
            params=candidate.params,
            fold_scores=tuple(scores),
            score=float(np.mean(scores)),
            seconds=self.clock() - start,
            status="ok",
            seed=candidate.seed,
            budget=candidate.budget,
        )

    def _score(self, candidate: Candidate, number: int, kept: Checkpoints) -> float:
        fold = self.folds[number]
        fitted = self.trainer.fit(
            candidate,
            self.inputs.take(fold.train),
            self.target.take(fold.train),
            resume=kept.take(candidate, number),
        )
        answer = fitted.model.predict(fitted.prepare(self.inputs.take(fold.valid)))
        if not np.isfinite(answer).all():
            raise FloatingPointError("the model's answer is not finite")
        kept.keep(candidate, number, fitted)
        if self.target.task == "forecast":
            return -float(np.abs(self.target.values[fold.valid] - answer).mean())
        return self.judged(answer, fold.valid)

    def judged(self, answer: Floats, rows: Ints) -> float:
        """What the metric says of probabilities [n, width] for some rows [n] of the target."""
        seen = self.target.take(rows)
        return score(self.metric, seen.values.astype(np.int64), answer, seen.groups)
