"""The objective function of the search: hyperparameters in, validation score out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from builder.families.base import Family, Inputs, Model, Target
from builder.folds import Fold
from builder.metrics import METRICS, Metric, confusion
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

    def fit(self, candidate: Candidate, raw: Inputs, target: Target) -> Fitted:
        """Learn preprocessing, then the model."""
        family = self.families[candidate.family]
        table = raw.only(family.uses).features
        steps = Preprocessing((), (), ())
        if table is not None:
            steps = fit_preprocessing(table, missing=self.missing, categorical=self.categorical)
        model = family.fit(
            _prepare(raw, family, steps),
            target,
            params=candidate.params,
            seed=candidate.seed,
            threads=self.threads,
        )
        return Fitted(family, model, steps)


@dataclass(frozen=True, slots=True)
class Objective:
    """Mean validation score of a candidate. Holds training rows only; travels to the workers."""

    trainer: Trainer
    inputs: Inputs
    target: Target
    folds: tuple[Fold, ...]
    metric: Metric
    clock: Callable[[], float] = time.perf_counter

    def __call__(self, candidate: Candidate) -> Trial:
        """Score a candidate; a failure is a record, not an exception.

        Raises
        ------
        MachineError
            A library is missing, which is no fault of the candidate.
        """
        start, scores = self.clock(), list[float]()
        try:
            for fold in self.folds:
                if self.clock() - start > candidate.limit_s:
                    return overrun(candidate, seconds=self.clock() - start, scores=scores)
                scores.append(self._score(candidate, fold))
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
        )

    def _score(self, candidate: Candidate, fold: Fold) -> float:
        fitted = self.trainer.fit(
            candidate, self.inputs.take(fold.train), self.target.take(fold.train)
        )
        answer = fitted.model.predict(fitted.prepare(self.inputs.take(fold.valid)))
        if not np.isfinite(answer).all():
            raise FloatingPointError("the model's answer is not finite")
        truth = self.target.values[fold.valid].astype(np.int64)
        return METRICS[self.metric](confusion(truth, answer.argmax(axis=1), self.target.width))
