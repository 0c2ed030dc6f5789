"""A small decision tree as a record, to be drawn and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A node: a question, whose ``yes`` is "at most the threshold"; none in a leaf.

    ``counts`` are the flows of each class that come here; ``known`` is false where the question
    is whether the feature is known at all.
    """

    counts: tuple[int, ...]
    feature: str = ""
    threshold: float = 0.0
    known: bool = True
    yes: Node | None = None
    no: Node | None = None

    @property
    def question(self) -> str:
        """What is asked here."""
        return f"{self.feature} ≤ {self.threshold:.4g}" if self.known else f"no {self.feature}"


def grow(
    values: npt.NDArray[np.float64],
    codes: npt.NDArray[np.int64],
    names: list[str],
    classes: int,
    depth: int = DEPTH,
) -> Node:
    """Train a tree in which all classes weigh the same; unknown values are below all others."""
    from sklearn.tree import DecisionTreeClassifier

    largest = float(np.finfo(np.float32).max) / 4
    known = np.clip(values, -largest, largest)
    unknown = np.nanmin(np.where(np.isnan(known), np.inf, known), axis=0, initial=0.0) - 1
    filled = np.where(np.isnan(known), unknown, known)
    fitted = DecisionTreeClassifier(max_depth=depth, random_state=0, class_weight="balanced")
    fitted.fit(filled, codes)
    tree, path = fitted.tree_, fitted.decision_path(filled).tocsc()

    def node(number: int) -> Node:
        rows = path.indices[path.indptr[number] : path.indptr[number + 1]]
        counts = tuple(np.bincount(codes[rows], minlength=classes).tolist())
        if tree.children_left[number] < 0:
            return Node(counts)
        place, threshold = int(tree.feature[number]), float(tree.threshold[number])
        column: Any = known[:, place]
        return Node(
            counts,
            names[place],
            threshold,
            bool((column <= threshold).any()),
            node(int(tree.children_left[number])),
            node(int(tree.children_right[number])),
        )

    return node(0)


def leaves(node: Node, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Node]]:
    """Every leaf with the answers that lead to it."""
    if node.yes is None or node.no is None:
        return [(path, node)]
    negated = node.question.replace("≤", ">") if node.known else f"has {node.feature}"
    return [
        *leaves(node.yes, (*path, node.question)),
        *leaves(node.no, (*path, negated)),
    ]
