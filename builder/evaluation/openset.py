"""Learning when to answer ``unknown``, and what that is worth: each class left out in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from builder.calibration import Calibration
from builder.evaluation.crossing import Crossed, Side
from builder.evaluation.records import LeftOut
from builder.evaluation.variants import Late
from builder.families.base import Inputs, Ints
from builder.novelty import Novelty, Reals, Scale, Space, entropy, logarithms, packed
from builder.objective import Candidate, Objective
from builder.preprocess import Floats

SHRINK: Final = 0.05  # of the covariance towards a ball, so that it can be inverted
LEVELS: Final = 128
TAIL: Final = 0.1  # of the levels half are in the last tenth, where the threshold is


def fit_space(features: Floats, classes: Ints, width: int) -> Space:
    """Learn distances from raw training features [n, f] and their classes [n].

    A class without a row has the centre of all.
    """
    logs = logarithms(features).astype(np.float64)
    spread = logs.std(axis=0) + 1e-3
    scaled = logs / spread
    centres = np.tile(scaled.mean(axis=0), (width, 1))
    for label in np.unique(classes):
        centres[label] = scaled[classes == label].mean(axis=0)
    rest = scaled - centres[classes]
    covariance = rest.T @ rest / len(rest)
    ball = max(float(np.trace(covariance)) / len(covariance), 1e-9) * np.eye(len(covariance))
    sizes, axes = np.linalg.eigh((1 - SHRINK) * covariance + SHRINK * ball)
    whitening = axes / np.sqrt(sizes)
    return Space(
        features=features.shape[1],
        axes=packed((whitening / spread[:, None]).astype(np.float32)),
        centres=packed((centres @ whitening).astype(np.float32)),
    )


def fit_novelty(
    crossed: Crossed,
    inputs: Inputs,
    classes: Ints,
    *,
    width: int,
    calibration: Calibration,
    coverage: float,
) -> Novelty:
    """Learn the rule from out-of-fold answers; ``inputs`` and ``classes`` are all training rows.

    Distances, too, are out of fold: each fold measures from centres that its rows are not in.
    The rule that is shipped measures from the centres of all rows.
    """
    table = inputs.features
    probabilities = calibration.apply(crossed.probabilities)
    if table is None:
        return _rule(probabilities, None, None, coverage)
    away = np.concatenate([_distances(side, table, classes, width) for side in crossed.sides])
    return _rule(probabilities, away, fit_space(table, classes, width), coverage)


def _distances(side: Side, table: Floats, classes: Ints, width: int) -> Reals:
    space = fit_space(table[side.train], classes[side.train], width)
    return space.distance(table[side.valid], side.probabilities.argmax(axis=1))


def _rule(
    probabilities: Floats, away: Reals | None, space: Space | None, coverage: float
) -> Novelty:
    doubts = entropy(probabilities)
    doubt, far = _scale(doubts), None if away is None else _scale(away)
    total = doubt.surprise(doubts)
    if away is not None and far is not None:
        total = total + far.surprise(away)
    return Novelty(coverage, _quantile(total, coverage), doubt, far, space)


def _quantile(scores: Reals, coverage: float) -> float:
    """The conformal quantile: with one more flow of the kind, ``coverage`` of them are below."""
    place = int(np.ceil(coverage * (len(scores) + 1))) - 1
    return float(np.sort(scores)[min(place, len(scores) - 1)])


def _scale(scores: Reals) -> Scale:
    most = len(scores) / (len(scores) + 1)
    levels = np.unique(
        np.concatenate(
            [
                np.linspace(0, 1 - TAIL, LEVELS // 2, endpoint=False),
                1 - np.geomspace(TAIL, 1 - most, LEVELS // 2),
            ]
        ).clip(0, most)
    )
    values = np.quantile(scores, levels / most)
    return Scale(tuple(levels.tolist()), tuple(values.tolist()))


def leave_out(
    objective: Objective,
    candidate: Candidate,
    labels: tuple[str, ...],
    *,
    calibration: Calibration,
    coverage: float,
    late: Late,
) -> Iterator[LeftOut]:
    """Train without each class in turn and count its flows that are then answered ``unknown``.

    Each model trains and sets its threshold on the two sides of the first fold, without the class;
    asked are all flows of the class in the training runs. Ends early when it is ``late``.
    """
    fold, classes = objective.folds[0], objective.target.values.astype(np.int64)
    width = objective.target.width
    for label in range(width):
        if late():
            return
        train, valid = (rows[classes[rows] != label] for rows in (fold.train, fold.valid))
        fitted = objective.trainer.fit(
            candidate, objective.inputs.take(train), objective.target.take(train)
        )
        known = fitted.model.predict(fitted.prepare(objective.inputs.take(valid)))
        rule = fit_novelty(
            Crossed((Side(fitted, train, valid, known),)),
            objective.inputs,
            classes,
            width=width,
            calibration=calibration,
            coverage=coverage,
        )
        table = objective.inputs.features
        if table is not None:
            rule = replace(rule, space=fit_space(table[train], classes[train], width))
        strangers = objective.inputs.take(np.flatnonzero(classes == label))
        said = calibration.apply(fitted.model.predict(fitted.prepare(strangers)))
        sure = _rule(calibration.apply(known), None, None, coverage)
        yield LeftOut(
            labels[label],
            len(strangers),
            round(float(rule.unknown(said, strangers.features).mean()), 6),
            round(float(sure.unknown(said, None).mean()), 6),
        )
