"""The models that checks train: the one door to scikit-learn.

Features go in as ranks among the training rows, so that heavy tails and units do not matter;
an unknown value is a rank of its own, below all others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

TREES: Final = 60
BINS: Final = 255
SMALL: Final = 4_000  # rows; below, threads cost more than they bring
FOLDS: Final = 4


@dataclass(frozen=True)
class Ranks:
    """Turns each feature into its rank among the rows it was fitted on."""

    edges: tuple[Matrix, ...]

    @classmethod
    def fit(cls, values: Matrix) -> Ranks:
        """Learn the quantiles of ``values`` [rows, features]."""
        steps = np.linspace(0, 1, BINS + 1)[1:-1]
        edges = []
        for column in values.T:
            known = column[~np.isnan(column)]
            edges.append(np.unique(np.quantile(known, steps)) if len(known) else known)
        return cls(tuple(edge.astype(np.float32) for edge in edges))

    def __call__(self, values: Matrix) -> Matrix:
        """Ranks of ``values``, float32 of the same shape, -1 where unknown."""
        ranks = np.empty_like(values, dtype=np.float32)
        for place, edges in enumerate(self.edges):
            column = values[:, place]
            ranks[:, place] = np.where(np.isnan(column), -1, np.searchsorted(edges, column))
        return ranks


@dataclass(frozen=True)
class Model:
    """A classifier with the ranks it learnt."""

    ranks: Ranks
    estimator: Any
    width: int

    def probabilities(self, values: Matrix) -> Floats:
        """Probability of every class, float64 [rows, classes]."""
        found = np.zeros((len(values), self.width))
        found[:, self.estimator.classes_] = self.estimator.predict_proba(self.ranks(values))
        return found

    def answers(self, values: Matrix) -> Ints:
        """The most probable class of each row."""
        return np.asarray(self.probabilities(values).argmax(axis=1), dtype=np.int64)


def forest(values: Matrix, classes: Ints, *, width: int, seed: int = 0) -> Model:
    """Train the full model: extremely randomised trees over all features."""
    from sklearn.ensemble import ExtraTreesClassifier

    trees = ExtraTreesClassifier(
        TREES, random_state=seed, n_jobs=1 if len(values) < SMALL else cores()
    )
    return _fitted(trees, values, classes, width)


def shallow_tree(values: Matrix, classes: Ints, *, width: int, depth: int = 3) -> Model:
    """Train one small tree."""
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=depth, random_state=0, class_weight="balanced")
    return _fitted(tree, values, classes, width)


def linear(values: Matrix, classes: Ints, *, width: int) -> Model:
    """Train a logistic regression on ranks."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline may stop early
        return _fitted(model, values, classes, width)


def _fitted(estimator: Any, values: Matrix, classes: Ints, width: int) -> Model:
    ranks = Ranks.fit(values)
    return Model(ranks, estimator.fit(ranks(values), classes), width)


def tree_text(model: Model, features: list[str], labels: tuple[str, ...]) -> list[str]:
    """A tree as lines of text, with the features' own values at the splits."""
    tree, lines = model.estimator.tree_, []

    def walk(node: int, depth: int) -> None:
        if tree.children_left[node] < 0:
            label = labels[model.estimator.classes_[int(tree.value[node][0].argmax())]]
            lines.append(f"{'. ' * depth}{label}")
            return
        place = int(tree.feature[node])
        edges = model.ranks.edges[place]
        rank = int(np.floor(tree.threshold[node]))
        said = f"up to {edges[rank]:.6g}" if 0 <= rank < len(edges) else "unknown"
        lines.append(f"{'. ' * depth}{features[place]} {said}:")
        walk(int(tree.children_left[node]), depth + 1)
        lines.append(f"{'. ' * depth}else:")
        walk(int(tree.children_right[node]), depth + 1)

    walk(0, 0)
    return lines


def macro_f1(truth: Ints, answers: Ints) -> float:
    """Mean F1 of the classes that occur."""
    width = int(max(truth.max(initial=0), answers.max(initial=0))) + 1
    hits = np.bincount(truth[truth == answers], minlength=width)
    both = np.bincount(truth, minlength=width) + np.bincount(answers, minlength=width)
    present = both > 0
    return float((2 * hits[present] / both[present]).mean()) if present.any() else 0.0


def auc(positive: npt.NDArray[np.bool_], scores: Floats) -> float:
    """Share of pairs in which the positive row has the higher score; ties count half."""
    from scipy.stats import rankdata

    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        return 0.5
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * few))


def auc_error(positive: int, negative: int) -> float:
    """Standard error of an AUC that is 0.5, from the numbers of rows of both kinds."""
    return float(np.sqrt((positive + negative + 1) / (12 * max(positive, 1) * max(negative, 1))))


def out_of_fold(
    values: Matrix,
    classes: Ints,
    *,
    width: int,
    seed: int = 0,
    groups: Ints | None = None,
) -> Floats:
    """Probabilities of each row by a model that has not seen it, float64 [rows, classes].

    With ``groups`` [rows] it has seen nothing of the row's group either.
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        order = rng.permutation(len(classes))
        order = order[np.argsort(classes[order], kind="stable")]
        fold = np.empty(len(classes), dtype=np.int64)
        fold[order] = np.arange(len(classes)) % FOLDS
    else:
        _, first, number = np.unique(groups, return_index=True, return_inverse=True)
        order = rng.permutation(len(first))
        order = order[np.argsort(classes[first][order], kind="stable")]
        of_group = np.empty(len(first), dtype=np.int64)
        of_group[order] = np.arange(len(first)) % FOLDS
        fold = of_group[number]
    found = np.zeros((len(classes), width))
    for turn in range(FOLDS):
        away = fold == turn
        model = forest(values[~away], classes[~away], width=width, seed=seed)
        found[away] = model.probabilities(values[away])
    return found


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
