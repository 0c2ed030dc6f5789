"""What the winner looks at: Shapley values of trees, permutation for every other model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from builder.evaluation.records import Explained, Importance
from builder.families.base import Inputs, Ints
from builder.metrics import Metric, score
from builder.preprocess import Floats, Preprocessing

EXPLAINED_ROWS: Final = 100  # Shapley values of a deep forest take a tenth of a second a row
SHOWN_ROWS: Final = 8
SHOWN_FEATURES: Final = 5
PERMUTED_ROWS: Final = 2_000
REPEATS: Final = 3


def spread_rows(classes: Ints, count: int, *, seed: int) -> Ints:
    """About ``count`` row numbers, of every class as equally many as there are."""
    order = np.random.default_rng(seed).permutation(len(classes))
    own = classes[order]
    turn = np.empty(len(own), dtype=np.int64)
    for label in np.unique(own):
        members = np.flatnonzero(own == label)
        turn[members] = np.arange(len(members))
    rows: Ints = np.sort(order[np.argsort(turn, kind="stable")[:count]])
    return rows


def of_features(contributions: Floats, steps: Preprocessing) -> Floats:
    """Contributions [n, columns, classes] of preprocessed columns as [n, features, classes].

    Shapley values add up, so a feature has those of all columns made from it.
    """
    categories = {one.position for one in steps.one_hot}
    origin = [
        *(k for k in range(len(steps.fill)) if k not in categories),
        *steps.indicators,
        *(one.position for one in steps.one_hot for _ in range(one.width)),
    ]
    summed = np.zeros(
        (len(contributions), len(steps.fill), contributions.shape[2]), dtype=np.float32
    )
    for column, feature in enumerate(origin):
        summed[:, feature] += contributions[:, column]
    return summed


def by_shapley(contributions: Floats, names: tuple[str, ...]) -> tuple[Importance, ...]:
    """Mean absolute contribution of each feature [n, features, classes], the largest first."""
    return _ranked(np.abs(contributions).mean(axis=(0, 2)).astype(np.float64), names)


def explain(
    contributions: Floats,
    values: Floats,
    probabilities: Floats,
    truth: Ints,
    *,
    names: tuple[str, ...],
    labels: tuple[str, ...],
    flow_ids: npt.NDArray[np.object_],
) -> tuple[Explained, ...]:
    """Some flows and the features that spoke loudest for their answer; the wrong ones first."""
    answer = probabilities.argmax(axis=1)
    wrong_first = np.argsort(answer == truth, kind="stable")[: SHOWN_ROWS // 2]
    surest_last = np.argsort(probabilities.max(axis=1), kind="stable")[-SHOWN_ROWS // 2 :]
    rows = list(dict.fromkeys([*wrong_first.tolist(), *surest_last.tolist()]))

    def one(row: int) -> Explained:
        own = contributions[row, :, answer[row]]
        loudest = np.argsort(-np.abs(own), kind="stable")[:SHOWN_FEATURES]
        return Explained(
            flow_id=str(flow_ids[row]),
            truth=labels[truth[row]],
            answer=labels[answer[row]],
            probability=round(float(probabilities[row].max()), 4),
            contributions=tuple(
                (names[k], _finite(values[row, k]), round(float(own[k]), 4)) for k in loudest
            ),
        )

    return tuple(one(row) for row in rows)


def _finite(value: np.float32) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def by_permutation(
    answer: Callable[[Inputs], Floats],
    inputs: Inputs,
    truth: Ints,
    *,
    names: tuple[str, ...],
    channels: tuple[str, ...],
    metric: Metric,
    seed: int,
) -> tuple[Importance, ...]:
    """What the score loses when one column is dealt anew among the flows; the most first.

    ``inputs`` are raw and unseen in training; a channel of the packet sequences is dealt whole.
    """
    rng = np.random.default_rng(seed)

    def reached(seen: Inputs) -> float:
        return score(metric, truth, answer(seen))

    whole, lost = reached(inputs), []
    features = () if inputs.features is None else names
    parts = [(True, k) for k in range(len(features))]
    parts += [(False, k) for k in range(len(channels) if inputs.sequences is not None else 0)]
    for table, place in parts:
        drops = [whole - reached(_dealt(inputs, place, rng, table=table)) for _ in range(REPEATS)]
        lost.append(float(np.mean(drops)))
    known = (*features, *(f"packets: {name}" for name in channels))[: len(lost)]
    return _ranked(np.array(lost), known)


def _dealt(inputs: Inputs, place: int, rng: np.random.Generator, *, table: bool) -> Inputs:
    order = rng.permutation(len(inputs))
    features, sequences = inputs.features, inputs.sequences
    if table and features is not None:
        features = features.copy()
        features[:, place] = features[order, place]
    elif sequences is not None:
        sequences = sequences.copy()
        sequences[:, :, place] = sequences[order, :, place]
    return Inputs(features, sequences)


def _ranked(strength: npt.NDArray[np.float64], names: tuple[str, ...]) -> tuple[Importance, ...]:
    total = max(float(np.maximum(strength, 0).sum()), 1e-12)
    order = np.argsort(-strength, kind="stable")
    return tuple(Importance(names[k], round(float(strength[k]) / total, 5)) for k in order)
