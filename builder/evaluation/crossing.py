"""Answers on training flows by models that had not seen them: one model for each fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builder.families.base import Ints
from builder.objective import Candidate, Fitted, Objective
from builder.preprocess import Floats


@dataclass(frozen=True, slots=True)
class Side:
    """One fold: its model, and that model's answers on the rows kept from it."""

    fitted: Fitted
    train: Ints  # row numbers
    valid: Ints
    probabilities: Floats  # [valid rows, classes], as the model gave them


@dataclass(frozen=True, slots=True)
class Crossed:
    """Out-of-fold answers; of a 99/1 split, those of the one row in a hundred."""

    sides: tuple[Side, ...]

    @property
    def rows(self) -> Ints:
        """The answered rows, in the order of `probabilities`."""
        return np.concatenate([side.valid for side in self.sides])

    @property
    def probabilities(self) -> Floats:
        """Their answers [n, classes]."""
        return np.concatenate([side.probabilities for side in self.sides])


def cross(objective: Objective, candidate: Candidate) -> Crossed:
    """Train the candidate on every fold of the search and let it answer the rest."""
    sides = []
    for fold in objective.folds:
        fitted = objective.trainer.fit(
            candidate, objective.inputs.take(fold.train), objective.target.take(fold.train)
        )
        answer = fitted.model.predict(fitted.prepare(objective.inputs.take(fold.valid)))
        sides.append(Side(fitted, fold.train, fold.valid, answer))
    return Crossed(tuple(sides))
