"""Networks beside the contract: their layers in ONNX, their training, their way back."""

from __future__ import annotations

import numpy as np
import pytest

from builder.deep.family import NeuralFamily, Shape
from builder.families import Inputs, Target, families
from builder.serving import OnnxModel

NETWORKS = [name for name, family in families().items() if isinstance(family, NeuralFamily)]
PLAIN = {
    "depth": 2,
    "units": 8,
    "filters": 8,
    "convolutions": 2,
    "recurrences": 2,
    "kernel": 3,
    "summary": 4,
    "activation": "relu",
    "batch_norm": False,
    "dropout": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 64,
    "epochs": 3,
    "class_weight": None,
}
SHAPE = Shape(features=5, length=12, channels=3, width=3)


def flows(count: int = 120, *, seed: int = 0) -> tuple[Inputs, Target]:
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 3
    table = rng.lognormal(3 * classes[:, None], 1, (count, 5)).astype(np.float32)
    sequences = rng.exponential(100, (count, 12, 3)).astype(np.float32)
    sequences[np.arange(12) >= rng.integers(0, 13, (count, 1))] = 0
    return Inputs(table, sequences), Target("classify", classes, 3, np.arange(count) // 4)


def shaken(family: NeuralFamily, **changes: object):
    """An untrained network whose every weight was moved, so that none hides behind its start."""
    network = family.network(SHAPE, PLAIN | changes, seed=1)
    inputs, _ = flows()
    network.scale(inputs.only(family.uses))
    rng = np.random.default_rng(2)
    for layer in network.network.layers:
        if layer.weights and not layer.name.endswith("_scale"):
            shapes = [tuple(weight.shape) for weight in layer.weights]
            layer.set_weights([_drawn(shape, rng) for shape in shapes])
    return network, inputs.only(family.uses)


def _drawn(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Kernels that keep the size of what goes through; else positive numbers, as variances are."""
    if len(shape) == 1:
        return rng.uniform(0.2, 0.9, shape)
    return rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_have_an_onnx_form_in_every_variant(name):
    variants = (("relu", False, 3), ("elu", True, 4), ("tanh", True, 5))
    for activation, batch_norm, kernel in variants:
        network, inputs = shaken(
            families()[name],
            activation=activation,
            batch_norm=batch_norm,
            kernel=kernel,
            dropout=0.4,
        )
        served = OnnxModel(network.export()).predict(inputs)
        np.testing.assert_allclose(served, network.predict(inputs), atol=1e-5, rtol=0)
        assert np.ptp(served, axis=0).max() > 1e-3  # the answer depends on the input


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_from_its_graph(name):
    from builder.deep.stored import rebuild

    family = families()[name]
    network, inputs = shaken(family, batch_norm=True)
    graph = network.export()
    again = rebuild(graph, family, PLAIN | {"batch_norm": True}, seed=7)
    assert again.predict(inputs).tobytes() == network.predict(inputs).tobytes()
    assert again.export() == graph
    other = rebuild(graph, family, PLAIN | {"batch_norm": True}, width=5)
    assert other.predict(inputs).shape == (120, 5)
    with pytest.raises(ValueError, match="the graph holds no weights"):
        rebuild(graph, family, PLAIN | {"batch_norm": True, "units": 9})


@pytest.mark.parametrize("name", ["lstm", "cnn", "cnn_lstm"])
def test_what_follows_the_last_packet_changes_nothing(name):
    # Conv and LSTM see padding, and the mask has to keep it out: a longer sequence of the same
    # packets is the same flow.
    from builder.deep.model import weights

    family = families()[name]
    network, inputs = shaken(family)
    longer = family.network(Shape(5, 16, 3, 3), PLAIN)
    longer.network.set_weights(weights(network.network))
    padded = np.pad(inputs.sequences, [(0, 0), (0, 4), (0, 0)])
    answer = longer.predict(Inputs(inputs.features, padded))
    np.testing.assert_allclose(answer, network.predict(inputs), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["lstm", "cnn", "cnn_lstm"])
def test_short_flows_are_answered_alike_alone_together_and_in_blocks(name, monkeypatch):
    # A graph goes as far as the longest flow that it is shown, and blocks are sorted by length.
    network, inputs = shaken(families()[name], activation="elu", batch_norm=True)
    served, expected = OnnxModel(network.export()), network.predict(inputs)
    alone = [served.predict(inputs.take(np.array([row]))) for row in range(24)]
    np.testing.assert_allclose(np.concatenate(alone), expected[:24], atol=1e-5, rtol=0)
    monkeypatch.setattr("builder.serving.BLOCK_BYTES", 2_000)
    np.testing.assert_allclose(served.predict(inputs), expected, atol=1e-5, rtol=0)


def test_no_activity_is_trained_on_and_held_back():
    from builder.deep.model import hold_back

    _, target = flows()
    kept, held = hold_back(target, seed=3)
    assert 6 <= len(held) <= 24
    assert set(kept) | set(held) == set(range(120))
    assert not set(target.groups[kept]) & set(target.groups[held])
    assert set(target.values[held]) == {0, 1, 2}


def test_training_stops_when_the_rows_held_back_say_so():
    inputs, target = flows()
    rng = np.random.default_rng(0)
    target = Target("classify", rng.integers(0, 3, 120), 3)  # nothing to learn
    family = families()["mlp"]
    params = PLAIN | {"epochs": 60, "units": 64, "learning_rate": 0.01}
    model = family.fit(inputs.only(family.uses), target, params=params, seed=0, threads=1)
    best = int(np.argmin([epoch.held_back for epoch in model.epochs]))
    assert len(model.epochs) == best + 6 < 60


def test_a_second_training_compiles_nothing_and_learns_the_same():
    family, (inputs, target) = families()["cnn_lstm"], flows()
    fold = np.arange(30, 120)  # as another fold of the same trial
    params = PLAIN | {"dropout": 0.2, "learning_rate": 0.0123}

    from builder.deep import compiled

    def fit(rows):
        return family.fit(inputs.take(rows), target.take(rows), params=params, seed=5, threads=1)

    alone = fit(fold)
    compiled._STEPS.clear()
    before, after = fit(np.arange(90)), fit(fold)
    assert after.network.train_function is before.network.train_function
    assert after.predict(inputs).tobytes() == alone.predict(inputs).tobytes()
    assert before.predict(inputs).tobytes() != after.predict(inputs).tobytes()


def test_a_loss_that_is_not_finite_ends_the_training():
    inputs, target = flows()
    family = families()["mlp"]
    params = PLAIN | {"optimizer": "sgd", "learning_rate": 1e30, "activation": "elu"}
    with pytest.raises(FloatingPointError, match="the loss is not finite after epoch"):
        family.fit(inputs.only(family.uses), target, params=params, seed=0, threads=1)


def test_without_keras_the_extra_is_named():
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['keras'] = None\n"
        "from builder.deep.backend import load_keras\n"
        "from topologies.errors import MachineError\n"
        "try: load_keras()\n"
        "except MachineError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "gsta[deep]"' in done.stdout
