"""The contract carries packet sequences: a family of the test's own, from data to graph."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from builder.config import BuildConfig
from builder.data import read_dataset
from builder.families import Inputs, Target
from builder.folds import plan_validation
from builder.heuristics import RandomSearch
from builder.objective import Objective, Trainer, again
from builder.runners import SerialRunner
from builder.search import Budget, best, search
from builder.serving import OnnxModel
from builder.space import Choice


class Centroids:
    """Nearest class centre of the flow's features joined with its mean packet."""

    name = "centroids"
    task = "classify"
    uses = frozenset({"features", "sequences"})
    space = {"sharpness": Choice((0.5, 2.0))}  # noqa: RUF012

    def fit(self, inputs, target, *, params, seed, threads):
        joined = self.join(inputs)
        scale = joined.std(axis=0) + 1e-6
        centres = np.stack([joined[target.values == k].mean(axis=0) for k in range(target.width)])
        weights = (2 * params["sharpness"] * centres / scale**2).T
        offset = -params["sharpness"] * ((centres / scale) ** 2).sum(axis=1)
        return Fitted(weights.astype(np.float32), offset.astype(np.float32), inputs)

    @staticmethod
    def join(inputs):
        return np.concatenate([inputs.features, inputs.sequences.mean(axis=1)], axis=1)


class Fitted:
    def __init__(self, weights, offset, inputs):
        self.weights, self.offset = weights, offset
        self.columns, self.shape = inputs.features.shape[1], inputs.sequences.shape[1:]

    def predict(self, inputs):
        logits = (Centroids.join(inputs) @ self.weights + self.offset).astype(np.float64)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)

    def export(self):
        nodes = [
            helper.make_node("ReduceMean", ["sequences", "axis"], ["mean"], keepdims=0),
            helper.make_node("Concat", ["features", "mean"], ["joined"], axis=1),
            helper.make_node("Gemm", ["joined", "weights", "offset"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
        real = TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "centroids",
            [
                helper.make_tensor_value_info("features", real, [None, self.columns]),
                helper.make_tensor_value_info("sequences", real, [None, *self.shape]),
            ],
            [helper.make_tensor_value_info("probabilities", real, [None, len(self.offset)])],
            [
                numpy_helper.from_array(self.weights, "weights"),
                numpy_helper.from_array(self.offset, "offset"),
                numpy_helper.from_array(np.array([1]), "axis"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        checker.check_model(model)
        return model.SerializeToString()


@pytest.fixture
def data(write):
    return read_dataset(write(train_rows=300, test_rows=100, separation=1.0), BuildConfig())


def test_a_family_of_tables_and_sequences_is_searched_fitted_and_served(data):
    trainer = Trainer({"centroids": Centroids()}, "constant", 1)
    target = Target("classify", data.train.classes, len(data.labels))
    validation = plan_validation(
        data.train.classes, data.train.groups, folds=3, seed=0, labels=data.labels
    )
    trials = search(
        Objective(trainer, data.train.inputs, target, validation.folds, "f1_macro"),
        trainer.families,
        RandomSearch(0),
        SerialRunner(),
        budget=Budget(3, 60, 60),
        progress=lambda _: None,
    )
    assert [trial.status for trial in trials] == ["ok"] * 3
    winner = best(trials)
    assert winner.score > 0.9  # the packet sizes give the class away
    fitted = trainer.fit(again(winner), data.train.inputs, target)
    inputs = fitted.prepare(data.test.inputs)
    served = OnnxModel(fitted.model.export()).predict(inputs)
    np.testing.assert_allclose(served, fitted.model.predict(inputs), atol=1e-5)
    assert (served.argmax(axis=1) == data.test.classes).mean() > 0.9


def test_a_family_sees_only_what_it_uses(data):
    seen = data.train.inputs.only(frozenset({"sequences"}))
    assert seen.features is None
    assert seen.sequences is data.train.inputs.sequences
    with pytest.raises(ValueError, match="there are none"):
        seen.table()
    assert len(seen) == 300
    assert len(Inputs()) == 0
