"""Extra Trees (Geurts, Ernst and Wehenkel 2006) of scikit-learn: quicker to grow than a forest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.families.trees import grow
from builder.result import Param
from builder.space import Choice, IntRange, Space

SPACE: Final[Space] = {
    "n_estimators": Choice((50, 100, 150)),
    "max_depth": IntRange(4, 24),
    "min_samples_leaf": IntRange(1, 8, log=True),
    "max_features": Choice(("sqrt", "log2", 0.3)),
    "criterion": Choice(("gini", "entropy")),
    "class_weight": Choice((None, "balanced")),
}


class ExtraTrees:
    """Trees on all rows, each split at a random place of a random share of the features."""

    name: Final = "extra_trees"
    task: Final[Task] = "classify"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = SPACE
    resource: Final = "trees"

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
        budget: float = 1.0,
        resume: Model | None = None,
    ) -> Model:
        """Grow the forest, or the trees that a smaller one lacks."""
        from sklearn.ensemble import ExtraTreesClassifier

        forest = ExtraTreesClassifier(**params, random_state=seed, n_jobs=threads)
        return grow(forest, inputs, target, budget=budget, resume=resume)


FAMILY: Final = ExtraTrees()
