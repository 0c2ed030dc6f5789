"""Logistic regression of scikit-learn: how far straight lines between the classes get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.preprocess import Floats
from builder.result import Param
from builder.scaling import Scaling, measured, scaling_nodes
from builder.space import Choice, LogUniform, Space

SPACE: Final[Space] = {
    "C": LogUniform(1e-3, 1e2),
    "class_weight": Choice((None, "balanced")),
}
ITERATIONS: Final = 300
NEVER: Final = -50.0  # the margin of a class that had no training row


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """Weights on scaled features: the margin of each class, and softmax over them."""

    scaling: Scaling
    weights: Floats  # [features, width]
    bias: Floats  # [width]

    def predict(self, inputs: Inputs) -> Floats:
        """Probability of each class: float32 [n, width]."""
        margins = self.scaling.apply(inputs.table()) @ self.weights + self.bias
        odds = np.exp(margins - margins.max(axis=1, keepdims=True))
        answer: Floats = odds / odds.sum(axis=1, keepdims=True)
        return answer

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from onnx import TensorProto, checker, helper, numpy_helper

        names = ("centre", "unit", "mean", "deviation", "weights", "bias")
        arrays = (*self.scaling.parts(), self.weights, self.bias)
        columns, width = self.weights.shape
        kind = TensorProto.FLOAT
        graph = helper.make_graph(
            [],
            "logistic",
            [helper.make_tensor_value_info("features", kind, [None, columns])],
            [helper.make_tensor_value_info("probabilities", kind, [None, width])],
            [numpy_helper.from_array(a, n) for n, a in zip(names, arrays, strict=True)],
        )
        scaling_nodes(graph, "features", names[:4], "scaled")
        graph.node.append(helper.make_node("Gemm", ["scaled", "weights", "bias"], ["margins"]))
        graph.node.append(helper.make_node("Softmax", ["margins"], ["probabilities"], axis=1))
        opset = helper.make_opsetid("", 18)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
        checker.check_model(model)
        serialised: bytes = model.SerializeToString()
        return serialised


class Logistic:
    """A weighted sum of the scaled features for each class, its weights kept small."""

    name: Final = "logistic"
    task: Final[Task] = "classify"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = SPACE

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Fit by L-BFGS, which draws nothing: the seed changes nothing."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        scaling = Scaling.learn(inputs.table(), measured(inputs.table()))
        present = np.unique(target.values)
        every = np.zeros((inputs.table().shape[1], target.width), dtype=np.float32)
        start = np.full(target.width, NEVER, dtype=np.float32)
        start[present] = 0.0
        if len(present) == 1:
            return LogisticModel(scaling, every, start)
        regression = LogisticRegression(**params, max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly there is good enough
            regression.fit(scaling.apply(inputs.table()), target.values)
        weights, bias = regression.coef_, regression.intercept_
        if len(weights) == 1:  # of two classes it keeps the second's alone
            weights, bias = np.vstack([0 * weights, weights]), np.append(0.0, bias)
        every[:, present], start[present] = weights.T, bias
        return LogisticModel(scaling, every, start)


FAMILY: Final = Logistic()
