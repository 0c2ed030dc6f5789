"""A network goes on where another ended."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from builder import BuildConfig, FeatureSelection, SerialRunner, build
from builder.beginning import beginning
from builder.data import read_dataset
from builder.families import Inputs, Target, families
from builder.origin import Origin
from builder.preprocess import fit_preprocessing
from builder.transfer import Transferred
from topologies.errors import InputError

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra deep")

PARAMS = {
    "depth": 2,
    "units": 32,
    "activation": "relu",
    "batch_norm": True,
    "dropout": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    "optimizer": "adam",
    "learning_rate": 0.005,
    "batch_size": 64,
    "epochs": 12,
    "class_weight": None,
}
CONFIG = BuildConfig(families=("mlp",), trials=1, folds=2, features=FeatureSelection(set="flow"))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The network of a first scenario, and the folder of its dataset."""
    from tests.builder.conftest import Spec, write_dataset

    data = read_dataset(write_dataset(tmp_path_factory.mktemp("first"), Spec()), CONFIG)
    table = data.train.inputs.features
    steps = fit_preprocessing(table, missing="constant")
    target = Target("classify", data.train.classes, len(data.labels))
    inputs = Inputs(steps.apply(table))
    model = families()["mlp"].fit(inputs, target, params=PARAMS, seed=0, threads=1)
    names = tuple(field.name for field in data.features)
    return Origin(
        "first", "mlp", PARAMS, model.export(), steps, names, sequences=False, labels=data.labels
    )


def test_all_but_the_last_layers_stay(first):
    from builder.deep.onnx_export import graph_weights

    rng = np.random.default_rng(1)
    inputs = Inputs(rng.lognormal(1, 1, (80, first.preprocessing.width)).astype(np.float32))
    target = Target("classify", rng.integers(0, 4, 80), 4)
    before = graph_weights(first.onnx)
    changed = {}
    for freeze in ("all-but-last", "nothing"):
        model = Transferred(first, freeze).fit(inputs, target, params=PARAMS, seed=0, threads=1)
        after = graph_weights(model.export())
        assert after.keys() == before.keys()
        changed[freeze] = {
            n.split("/")[0] for n in after if not np.array_equal(after[n], before[n])
        }
    assert "margins" in changed["all-but-last"]
    assert "dense_1" not in changed["all-but-last"]
    assert "dense_2" in changed["all-but-last"]
    assert not any("scale" in name for name in changed["nothing"])
    assert {"dense_1", "margins"} <= changed["nothing"]


def test_another_number_of_classes_gets_a_last_layer_of_its_own(first):
    inputs = Inputs(np.ones((60, first.preprocessing.width), dtype=np.float32))
    target = Target("classify", np.arange(60) % 3, 3)
    model = Transferred(first, "all-but-last").fit(inputs, target, params=PARAMS, seed=0, threads=1)
    assert model.predict(inputs).shape == (60, 3)


def test_a_class_that_both_know_is_answered_without_a_row_of_it(first):
    from builder.deep.onnx_export import graph_weights

    rng = np.random.default_rng(1)
    inputs = Inputs(rng.lognormal(1, 1, (60, first.preprocessing.width)).astype(np.float32))
    target = Target("classify", rng.integers(0, 2, 60), 4)
    labels = ("new", first.labels[1], "never seen", first.labels[0])
    begin = Transferred(first, "all-but-last").towards(labels)
    model = begin.fit(inputs, target, params=PARAMS | {"epochs": 1}, seed=0, threads=1)
    bias = graph_weights(model.export())["margins/bias"]
    assert (bias[[0, 1, 3]] > -1).all()
    assert bias[2] == -50
    answers = model.predict(inputs)
    assert answers[:, 3].max() > 1e-6
    assert answers[:, 2].max() < 1e-6


def test_a_build_begins_with_a_network(first, write):
    begin = Transferred(first, "all-but-last")
    result = build(
        write(train_rows=60, seed=8), first.config(CONFIG), runner=SerialRunner(), begin=begin
    )
    assert result.winner.family == "mlp"
    assert result.winner.params["units"] == 32
    assert result.preprocessing == first.preprocessing
    assert result.test.f1_macro > 0.6


def test_what_does_not_fit_is_told(first, write):
    from dataclasses import replace

    with pytest.raises(InputError, match="expected one of cnn, cnn_lstm, extra_trees, lstm, "):
        beginning(replace(first, family="logistic"), "nothing")
    other = replace(first, features=first.features[::-1])
    with pytest.raises(InputError, match="those of first, in its order"):
        build(write(), other.config(CONFIG), runner=SerialRunner(),
              begin=Transferred(other, "nothing"))  # fmt: skip
