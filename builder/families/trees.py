"""What tree ensembles share: the fitted model of scikit-learn's, and an ONNX graph by contract."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from builder.families.base import Inputs, Model, Target, share_of
from builder.preprocess import Floats

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier


@dataclass(frozen=True, slots=True)
class TreesModel:
    """A fitted tree or forest of scikit-learn."""

    trees: RandomForestClassifier | ExtraTreesClassifier | DecisionTreeClassifier
    width: int

    def predict(self, inputs: Inputs) -> Floats:
        """Mean of the trees' class shares: float32 [n, width]."""
        shares = np.zeros((len(inputs), self.width), dtype=np.float32)
        shares[:, self.trees.classes_] = self.trees.predict_proba(inputs.table())
        return shares

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        columns = self.trees.n_features_in_
        converted = convert_sklearn(
            self.trees,
            initial_types=[("features", FloatTensorType([None, columns]))],
            options={id(self.trees): {"zipmap": False}},
            target_opset={"": 18, "ai.onnx.ml": 3},
        )
        return contract_graph(converted, classes=self.trees.classes_, width=self.width)


def grow(
    forest: RandomForestClassifier | ExtraTreesClassifier,
    inputs: Inputs,
    target: Target,
    *,
    budget: float,
    resume: Model | None,
) -> TreesModel:
    """Fit a share of the trees of ``forest``; those that ``resume`` has are not grown again."""
    trees, threads = share_of(forest.n_estimators, budget), forest.n_jobs
    if isinstance(resume, TreesModel):
        forest = resume.trees.set_params(warm_start=True)
    forest.set_params(n_estimators=trees, n_jobs=threads)
    with warnings.catch_warnings():
        # "balanced" depends on the rows, and they are the same.
        warnings.filterwarnings("ignore", "class_weight presets", UserWarning)
        forest.fit(inputs.table(), target.values)
    # With several threads the order of the sum over trees, so its last bit, would vary.
    forest.set_params(n_jobs=1, warm_start=False)
    return TreesModel(forest, target.width)


def contract_graph(model: Any, *, classes: npt.NDArray[np.int64], width: int) -> bytes:
    """Serialise a converted classifier with ``probabilities`` [n, width] as its one output.

    ``classes`` are the class numbers of the converter's columns; a class that had no training
    row has no column there and gets probability 0.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    graph = model.graph
    graph.name = "trees"  # converters draw a random one; the same model is the same bytes
    if len(classes) < width:
        for node in graph.node:
            node.output[:] = ["seen" if name == "probabilities" else name for name in node.output]
        spread = np.eye(width, dtype=np.float32)[classes]
        graph.initializer.append(numpy_helper.from_array(spread, "spread"))
        graph.node.append(helper.make_node("MatMul", ["seen", "spread"], ["probabilities"]))
    del graph.output[:]
    shape = [None, width]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape))
    checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised
