"""The contract of a family, run on every family there is."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest

import builder.families
from builder.families import BASELINES, Family, Inputs, Target, families
from builder.families.base import Gradual
from builder.serving import OnnxModel
from builder.space import draw

NAMES = sorted(families())
WIDTHS = (2, 3, 7)
NETWORKS = {"mlp", "resann", "cnn", "lstm", "cnn_lstm"}
SMALL = {
    "units": 16,
    "filters": 16,
    "epochs": 16,
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 0.01,
}
DRAW_NOTHING = {"logistic", "majority", "one_rule"}
TASK_OUTPUT = {"classify": "probabilities", "detect": "scores", "forecast": "forecast"}


def test_every_file_of_the_package_is_a_family():
    files = {file.stem for file in Path(builder.families.__file__).parent.glob("*.py")}
    assert set(NAMES) == files - {"__init__", "base", "trees"}
    assert len(NAMES) == 12


def rows(width: int, *, count: int = 240, seed: int = 0, absent: int | None = None):
    """Inputs and classes; the first column holds adjacent floats, to try the thresholds."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(count) % width)
    if absent is not None:
        classes[classes == absent] = (absent + 1) % width
    step = np.spacing(np.float32(4e6))
    table = np.stack(
        [
            4e6 + step * (10 * classes + rng.integers(0, 12, count)),
            rng.lognormal(3, 3, count),
            2 * classes + rng.normal(size=count),
            np.full(count, -1.0),
        ],
        axis=1,
    ).astype(np.float32)
    sequences = rng.exponential(100, (count, 32, 3)) * (1 + classes[:, None, None])
    sequences[np.arange(32) >= rng.integers(0, 33, (count, 1))] = 0  # some flows have no packet
    seen = Inputs(table, sequences.astype(np.float32))
    return seen, Target("classify", classes.astype(np.int64), width)


@pytest.fixture(params=NAMES)
def family(request) -> Family:
    return families()[request.param]


@pytest.fixture(params=[(name, width) for name in NAMES for width in WIDTHS], ids=str)
def family_and_width(request) -> tuple[Family, int]:
    """Every family, trees with classes of every number."""
    name, width = request.param
    if name in NETWORKS and width != 3:
        pytest.skip("one number of classes is enough for what does not depend on it")
    return families()[name], width


def params(family: Family, seed: int = 0):
    """Hyperparameters drawn from the space; networks are kept small, for the time of tests."""
    drawn = draw(family.space, np.random.default_rng(seed))
    return drawn | {name: value for name, value in SMALL.items() if name in drawn}


def fit(family, inputs, target, *, seed=0, draw_seed=0, threads=1):
    seen = inputs.only(family.uses)
    return family.fit(seen, target, params=params(family, draw_seed), seed=seed, threads=threads)


def test_it_is_described(family):
    assert isinstance(family, Family)
    assert family.name in NAMES
    assert family.task in TASK_OUTPUT
    assert family.uses <= {"features", "sequences"}
    assert family.uses
    assert bool(family.space) != (family.name in BASELINES)
    assert family.__doc__


def test_it_travels_to_a_worker(family):
    again = pickle.loads(pickle.dumps(family))  # noqa: S301 - what Ray does to an argument
    assert (again.name, again.space) == (family.name, family.space)


def test_probabilities_sum_to_one_and_learn_something(family_and_width):
    family, width = family_and_width
    inputs, target = rows(width)
    answer = fit(family, inputs, target).predict(inputs)
    assert answer.shape == (240, width)
    assert answer.dtype == np.float32
    assert (answer >= 0).all()
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)
    if family.name != "majority":
        assert (answer.argmax(axis=1) == target.values).mean() > 1.5 / width


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_model(family, threads):
    if family.name in NETWORKS and threads > 1:
        pytest.skip("a process sets the threads of networks once")
    inputs, target = rows(3)
    first, same = (fit(family, inputs, target, seed=5, threads=threads) for _ in range(2))
    assert first.predict(inputs).tobytes() == same.predict(inputs).tobytes()
    assert first.export() == same.export()
    if family.name not in DRAW_NOTHING:
        other = fit(family, inputs, target, seed=6, threads=threads)
        assert first.predict(inputs).tobytes() != other.predict(inputs).tobytes()


@pytest.mark.parametrize("draw_seed", range(4))
@pytest.mark.parametrize("width", WIDTHS)
def test_the_exported_model_answers_as_the_trained_one(family, width, draw_seed):
    if family.name in NETWORKS and draw_seed != WIDTHS.index(width):
        pytest.skip("a network of each width is enough beside the tests of its layers")
    inputs, target = rows(width)
    model = fit(family, inputs, target, draw_seed=draw_seed)
    unseen, _ = rows(width, count=2000, seed=1)
    native = model.predict(unseen)
    served = OnnxModel(model.export()).predict(unseen)
    assert served.dtype == np.float32
    np.testing.assert_allclose(served, native, atol=1e-5, rtol=0)


def test_the_graph_has_the_names_and_shapes_of_the_contract(family):
    inputs, target = rows(3)
    graph = onnx.load_from_string(fit(family, inputs, target).export()).graph
    shapes = {
        value.name: [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    expected = {"features": [None, 4], "sequences": [None, 32, 3]}
    expected = {name: expected[name] for name in family.uses}
    assert shapes == expected | {TASK_OUTPUT[family.task]: [None, 3]}


def test_a_class_without_training_rows_keeps_its_column(family_and_width):
    family, width = family_and_width
    inputs, target = rows(width, absent=width - 1)
    model = fit(family, inputs, target)
    native = model.predict(inputs)
    assert native.shape == (240, width)
    np.testing.assert_allclose(native.sum(axis=1), 1, atol=1e-5)
    assert (native.argmax(axis=1) != width - 1).all()
    served = OnnxModel(model.export()).predict(inputs)
    np.testing.assert_allclose(served, native, atol=1e-5, rtol=0)


def test_features_that_say_nothing_give_a_model_of_the_class_shares(family_and_width):
    family, width = family_and_width
    _, target = rows(width)
    inputs = Inputs(np.zeros((240, 4), np.float32), np.zeros((240, 32, 3), np.float32))
    target = Target("classify", np.maximum(target.values, target.values[::-1]), width)
    model = fit(family, inputs, target)
    native = model.predict(inputs)
    served = OnnxModel(model.export()).predict(inputs)
    np.testing.assert_allclose(served, native, atol=1e-5, rtol=0)
    assert np.ptp(native, axis=0).max() < 1e-6


def test_one_row_is_enough_to_answer(family):
    inputs, target = rows(3)
    model = fit(family, inputs, target)
    one = inputs.take(np.array([17]))
    np.testing.assert_allclose(model.predict(one), model.predict(inputs)[17:18], atol=1e-6)
    assert OnnxModel(model.export()).predict(one).shape == (1, 3)


def test_what_it_was_given_is_left_alone_and_may_be_read_only(family):
    inputs, target = rows(3)
    before = inputs.features.copy()
    for array in (inputs.features, inputs.sequences, target.values):
        array.flags.writeable = False  # as Ray hands them out
    fit(family, inputs, target).predict(inputs)
    np.testing.assert_array_equal(inputs.features, before)


def test_balanced_class_weights_help_the_rare_class(family):
    if "class_weight" not in family.space:
        pytest.skip("this family has no class weights")
    rng = np.random.default_rng(0)
    classes = (np.arange(1000) < 40).astype(np.int64)
    table = (classes[:, None] + rng.normal(size=(1000, 2))).astype(np.float32)
    sequences = np.repeat(np.exp(table), 16, axis=1)[:, :, None]
    inputs = Inputs(table, sequences).only(family.uses)
    found = {}
    for weight in (None, "balanced"):
        shallow = {"max_depth": 4} if "max_depth" in family.space else {}
        chosen = params(family) | shallow | {"class_weight": weight}
        target = Target("classify", classes, 2)
        model = family.fit(inputs, target, params=chosen, seed=0, threads=1)
        found[weight] = model.predict(inputs)[:, 1].mean()
    assert found["balanced"] > 2 * found[None]
    assert math.isclose(found[None], 0.04, abs_tol=0.02)


def test_a_small_budget_is_less_training_and_going_on_from_it_changes_nothing(family):
    if not isinstance(family, Gradual):
        pytest.skip("this family is always trained in full")
    inputs, target = rows(3)
    seen, options = inputs.only(family.uses), {"params": params(family), "seed": 4, "threads": 1}
    if "class_weight" in family.space:
        options["params"]["class_weight"] = "balanced"
    full = family.fit(seen, target, **options)
    small = family.fit(seen, target, **options, budget=0.1)
    assert len(small.export()) <= len(full.export())
    assert small.predict(seen).tobytes() != full.predict(seen).tobytes()
    middle = family.fit(seen, target, **options, budget=0.5, resume=small)
    grown = family.fit(seen, target, **options, budget=1.0, resume=middle)
    assert grown.predict(seen).tobytes() == full.predict(seen).tobytes()
    assert grown.export() == full.export()
