"""Gradient boosted trees of XGBoost (Chen and Guestrin 2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from builder.families.base import (
    Inputs,
    Ints,
    Model,
    Target,
    Task,
    Use,
    class_weights,
    share_of,
)
from builder.families.trees import contract_graph
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Choice, IntRange, LogUniform, Space, Uniform

if TYPE_CHECKING:
    from onnx import NodeProto
    from xgboost import Booster

SPACE: Final[Space] = {
    "rounds": IntRange(30, 150, log=True),
    "max_depth": IntRange(3, 10),
    "learning_rate": LogUniform(0.05, 0.5),
    "min_child_weight": LogUniform(0.1, 10.0),
    "subsample": Uniform(0.6, 1.0),
    "colsample_bytree": Uniform(0.4, 1.0),
    "reg_lambda": LogUniform(0.1, 10.0),
    "class_weight": Choice((None, "balanced")),
}


@dataclass(frozen=True, slots=True)
class BoostedModel:
    """Fitted boosted trees; one tree a round for two classes, else one a round and class."""

    booster: Booster
    width: int
    prior: float  # two classes: the probability of class 1 that boosting started from

    def predict(self, inputs: Inputs) -> Floats:
        """Probability of each class: float32 [n, width]."""
        answer: Floats = np.asarray(self.booster.inplace_predict(inputs.table()), dtype=np.float32)
        return answer if self.width > 2 else np.stack([1 - answer, answer], axis=1)

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from onnxmltools.convert import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        columns = self.booster.num_features()
        converted = convert_xgboost(
            self.booster,
            initial_types=[("features", FloatTensorType([None, columns]))],
            target_opset=15,
        )
        if self.width == 2:
            _set_start(converted.graph.node, math.log(self.prior / (1 - self.prior)))
        return contract_graph(converted, classes=np.arange(self.width), width=self.width)


def _set_start(nodes: Sequence[NodeProto], margin: float) -> None:
    """Mend the start value, which onnxmltools gets wrong when the first tree never splits."""
    from onnx import helper

    for node in nodes:
        if node.op_type == "TreeEnsembleClassifier":
            kept = [pair for pair in node.attribute if pair.name != "base_values"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("base_values", [margin])])


class XGBoost:
    """Trees that each correct the sum of those before."""

    name: Final = "xgboost"
    task: Final[Task] = "classify"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = SPACE
    resource: Final = "rounds"

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
        margins: Floats | None = None,
    ) -> Model:
        """Boost for the given number of rounds, or for those that a smaller model lacks.

        It begins with the class shares, or with the ``margins`` [n, width] of other trees, which
        are then no part of the model.
        """
        import xgboost

        settings = dict(params)
        rounds = int(settings.pop("rounds") or 1)
        balanced = settings.pop("class_weight") == "balanced"
        classes: Ints = target.values.astype(np.int64)
        weights = class_weights(classes, target.width) if balanced else None
        rows = xgboost.DMatrix(inputs.table(), classes, weight=weights, nthread=threads)
        if margins is not None:
            rows.set_base_margin(margins if target.width > 2 else margins[:, 1])
        # Left alone XGBoost would start from 0 or 1 where a class has no row: an infinite margin.
        prior = float(np.clip(np.average(classes == 1, weights=weights), 1e-6, 1 - 1e-6))
        goal: dict[str, Param] = {"objective": "binary:logistic", "base_score": prior}
        if target.width > 2:
            goal = {"objective": "multi:softprob", "num_class": target.width}
        common = {"tree_method": "hist", "seed": seed, "nthread": threads, "verbosity": 0}
        # Draws that depend on the round only, so that going on is the same as starting again.
        common["seed_per_iteration"] = True
        booster = xgboost.Booster(settings | goal | common, [rows])
        if isinstance(resume, BoostedModel):
            booster = resume.booster
        for step in range(booster.num_boosted_rounds(), share_of(rounds, budget)):
            booster.update(rows, step)
        return BoostedModel(booster, target.width, prior)


FAMILY: Final = XGBoost()
