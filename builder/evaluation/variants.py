"""The winner trained again on less: without a group of features, or on fewer activities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from builder.evaluation.records import Ablation, LearningPoint
from builder.families.base import Inputs
from builder.folds import Fold
from builder.objective import Candidate, Objective
from builder.result import FeatureField

SHARES: Final = (0.1, 0.25, 0.5)  # of the activities
PACKETS: Final = "packet sequences"

Late = Callable[[], bool]  # whether the time for more is over


def ablate(
    objective: Objective,
    candidate: Candidate,
    features: tuple[FeatureField, ...],
    *,
    whole: float,
    late: Late,
) -> Iterator[Ablation]:
    """Validation score without each group of features in turn; ``whole`` is that with all.

    What is left out is a constant, so it tells nothing. Inputs that the family does not use are
    not left out. Ends early when it is ``late``.
    """
    uses = objective.trainer.families[candidate.family].uses
    for group, size, reduced in _without(objective.inputs.only(uses), features):
        scores = []
        for fold in objective.folds:
            if late():
                return
            scores.append(_score(objective, candidate, reduced, fold))
        score = float(np.mean(scores))
        yield Ablation(group, size, round(score, 6), round(score - whole, 6))


def _without(
    inputs: Inputs, features: tuple[FeatureField, ...]
) -> Iterator[tuple[str, int, Inputs]]:
    if inputs.features is not None:
        groups = np.array([field.group for field in features])
        for group in dict.fromkeys(groups.tolist()):
            silent = inputs.features.copy()
            silent[:, groups == group] = 0
            yield group, int((groups == group).sum()), replace(inputs, features=silent)
    if inputs.sequences is not None:
        channels = inputs.sequences.shape[2]
        yield PACKETS, channels, replace(inputs, sequences=np.zeros_like(inputs.sequences))


def learning_curve(
    objective: Objective, candidate: Candidate, groups: np.ndarray, *, seed: int, late: Late
) -> Iterator[LearningPoint]:
    """Score on the first fold after training on a share of its activities; the last is all."""
    fold = objective.folds[0]
    names = np.random.default_rng(seed).permutation(np.unique(groups[fold.train]))
    width = objective.target.width
    for share in (*SHARES, 1.0):
        some = names[: max(1, round(share * len(names)))]
        train = fold.train[np.isin(groups[fold.train], some)]
        if late():
            return
        if len(np.unique(objective.target.values[train])) < width:
            continue  # a class has no flow yet
        part = Fold(train, fold.valid)
        score = _score(objective, candidate, objective.inputs, part)
        yield LearningPoint(len(train), round(score, 6))


def _score(objective: Objective, candidate: Candidate, inputs: Inputs, fold: Fold) -> float:
    fitted = objective.trainer.fit(
        candidate, inputs.take(fold.train), objective.target.take(fold.train)
    )
    answer = fitted.model.predict(fitted.prepare(inputs.take(fold.valid)))
    return objective.judged(answer, fold.valid)
