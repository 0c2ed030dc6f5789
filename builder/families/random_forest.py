"""Random Forest (Breiman 2001) of scikit-learn: the robust baseline of the seed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from builder.families.base import Inputs, Model, Target, Task, Use, share_of
from builder.families.trees import contract_graph
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Choice, IntRange, Space

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

SPACE: Final[Space] = {
    "n_estimators": Choice((50, 100, 150)),
    "max_depth": IntRange(4, 24),
    "min_samples_leaf": IntRange(1, 8, log=True),
    "max_features": Choice(("sqrt", "log2", 0.3)),
    "criterion": Choice(("gini", "entropy")),
    "class_weight": Choice((None, "balanced")),
}

DEFAULT_TREES: Final = 100


@dataclass(frozen=True, slots=True)
class ForestModel:
    """A fitted forest."""

    forest: RandomForestClassifier
    width: int

    def predict(self, inputs: Inputs) -> Floats:
        """Share of the trees for each class: float32 [n, width]."""
        shares = np.zeros((len(inputs), self.width), dtype=np.float32)
        shares[:, self.forest.classes_] = self.forest.predict_proba(inputs.table())
        return shares

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        columns = self.forest.n_features_in_
        converted = convert_sklearn(
            self.forest,
            initial_types=[("features", FloatTensorType([None, columns]))],
            options={id(self.forest): {"zipmap": False}},
            target_opset={"": 18, "ai.onnx.ml": 3},
        )
        return contract_graph(converted, classes=self.forest.classes_, width=self.width)


class RandomForest:
    """Trees on bootstrap samples, each split among a random share of the features."""

    name: Final = "random_forest"
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
        from sklearn.ensemble import RandomForestClassifier

        trees = share_of(int(params.get("n_estimators") or DEFAULT_TREES), budget)
        settings = {**params, "n_estimators": trees}
        if isinstance(resume, ForestModel):
            forest = resume.forest.set_params(**settings, warm_start=True)
        else:
            forest = RandomForestClassifier(**settings, random_state=seed)
        forest.set_params(n_jobs=threads)
        with warnings.catch_warnings():
            # Of a forest that grows on other rows; here they are the same.
            warnings.filterwarnings("ignore", "class_weight presets", UserWarning)
            forest.fit(inputs.table(), target.values)
        # With several threads the order of the sum over trees, so its last bit, would vary.
        forest.set_params(n_jobs=1, warm_start=False)
        return ForestModel(forest, target.width)


FAMILY: Final = RandomForest()
