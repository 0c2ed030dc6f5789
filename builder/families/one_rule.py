"""One rule (Holte 1993): the baseline that looks at the one feature that says most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.families.trees import TreesModel
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Space

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

RANGES_PER_CLASS: Final = 2
SMALLEST_RANGE: Final = 6  # rows of a range, as Holte has it
SOME_ROWS: Final = 20_000  # enough to tell which feature says most


class OneRule:
    """A few ranges of the best single feature: what a rule of thumb would reach."""

    name: Final = "one_rule"
    task: Final[Task] = "classify"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = {}

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Find the feature whose ranges get most of the training rows right."""
        table, classes = inputs.table(), target.values
        some = np.random.default_rng(seed).permutation(len(table))[:SOME_ROWS]
        right = [
            float((tree.predict(column) == classes[some]).mean())
            for column in np.split(table[some], table.shape[1], axis=1)
            for tree in [_ranges(column, classes[some], target.width)]
        ]
        alone: Floats = np.zeros_like(table)
        best = int(np.argmax(right))
        alone[:, best] = table[:, best]
        return TreesModel(_ranges(alone, classes, target.width), target.width)


def _ranges(table: Floats, classes: np.ndarray, width: int) -> DecisionTreeClassifier:
    from sklearn.tree import DecisionTreeClassifier

    leaves = RANGES_PER_CLASS * width
    tree = DecisionTreeClassifier(
        max_leaf_nodes=leaves, min_samples_leaf=SMALLEST_RANGE, random_state=0
    )
    return tree.fit(table, classes)


FAMILY: Final = OneRule()
