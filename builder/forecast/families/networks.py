"""What forecasters share that are networks: the contract, around a function that builds one.

They see what the trees see, levelled logarithms, and every one of them ends in a layer that also
sees its input: to repeat the last season is then a matter of one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from builder.deep.family import Params
from builder.families.base import Inputs, Ints, Model, Target, Task, Use, share_of
from builder.forecast.families.graphs import (
    forecast_graph,
    levelled,
    levelled_nodes,
    restored,
    restored_nodes,
)
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Choice, LogUniform, Space

HELD_BACK: Final = 0.1  # of the moments, the last: training stops by them
LEAST_HELD_BACK: Final = 20  # rows
ROWS: Final = 256  # answered at once: one compiled shape for any number of rows

TRAINING: Final[Space] = {
    "activation": Choice(("relu", "tanh")),
    "batch_norm": Choice((False,)),
    "dropout": Choice((0.0, 0.1)),
    "l1": Choice((0.0,)),
    "l2": Choice((0.0, 1e-4)),
    "optimizer": Choice(("adam", "rmsprop")),
    "learning_rate": LogUniform(1e-3, 2e-2),
    "batch_size": Choice((64,)),
    "epochs": Choice((60,)),
    "loss": Choice(("mae", "mse")),
    "weight": Choice((None, "size")),
}

Network = Callable[[Any, int, int, Params], Any]


@dataclass(frozen=True, slots=True)
class NetworkForecast:
    """A trained network from levelled rows [n, past + horizon + 1] to levelled answers."""

    network: Any  # keras.Model
    past: int
    horizon: int

    def predict(self, inputs: Inputs) -> Floats:
        """Sums of the windows to come: float32 [n, horizon]."""
        rows, level = levelled(inputs.table(), self.horizon)
        return restored(_answers(self.network, rows), level)

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from builder.deep.onnx_export import network_part

        nodes, constants = levelled_nodes(self.past)
        part = network_part(self.network, output="answer")
        return forecast_graph(
            [*nodes, *part.node, *restored_nodes()],
            [*constants, *part.initializer],
            width=self.past + self.horizon,
            horizon=self.horizon,
        )


@dataclass(frozen=True, slots=True)
class NeuralForecaster:
    """A kind of network; ``build`` puts it together behind an input, up to its last layer."""

    name: str
    space: Space
    build: Network  # input, past, horizon, hyperparameters -> tensor [n, units]
    task: Task = "forecast"
    uses: frozenset[Use] = frozenset({"features"})
    resource: str = "epochs"
    gpu: bool = True

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
        budget: float = 1.0,
        resume: Model | None = None,  # noqa: ARG002 - an optimiser's state is not kept
    ) -> Model:
        """Train, at most for a share of the epochs, and stop by the last moments.

        Raises
        ------
        FloatingPointError
            The loss is not finite.
        MachineError
            Keras is not installed.
        """
        settings: Params = params
        rows, level = levelled(inputs.table(), target.width)
        goals = (np.log(1.0 + target.values) - level).astype(np.float32)
        network = self._network(rows.shape[1], target.width, settings, seed, threads)
        sizes = np.exp(level[:, 0] - level.max()) if settings["weight"] == "size" else None
        data = _Rows(rows, goals, sizes)
        epochs = share_of(settings["epochs"], budget)
        _train(network, data, _held_back(target), params=settings, seed=seed, epochs=epochs)
        return NetworkForecast(network, rows.shape[1] - 1 - target.width, target.width)

    def _network(self, width: int, horizon: int, params: Params, seed: int, threads: int) -> Any:
        from builder.deep.backend import load_keras

        keras = load_keras(threads)
        keras.utils.set_random_seed(seed)
        levels = keras.Input((width,), name="levelled")
        hidden = self.build(levels, width - 1 - horizon, horizon, params)
        both = keras.layers.Concatenate(name="beside")([hidden, levels])
        return keras.Model(levels, keras.layers.Dense(horizon, name="steps_ahead")(both))


class _Rows:
    """Rows, what they are to answer, and what each counts; the mean is 1."""

    def __init__(self, rows: Floats, goals: Floats, sizes: npt.NDArray[np.float64] | None) -> None:
        counts = np.ones(len(rows)) if sizes is None else sizes / max(float(sizes.mean()), 1e-12)
        self.rows, self.goals, self.counts = rows, goals, counts.astype(np.float32)


def _train(
    network: Any,
    data: _Rows,
    sides: tuple[Ints, Ints],
    *,
    params: Params,
    seed: int,
    epochs: int,
) -> None:
    from builder.deep.model import optimiser, run_epochs

    kept, held = sides
    size = params["batch_size"]
    network.compile(
        optimizer=optimiser(params["optimizer"], params["learning_rate"]), loss=params["loss"]
    )
    rng = np.random.default_rng(seed)

    def once() -> float:
        order = np.resize(rng.permutation(kept), -(-len(kept) // size) * size)
        history = network.fit(
            data.rows[order],
            data.goals[order],
            sample_weight=data.counts[order],
            batch_size=size,
            shuffle=False,
            verbose=0,
        )
        return float(history.history["loss"][0])

    def held_back() -> float | None:
        if not len(held):
            return None
        away = np.abs(_answers(network, data.rows[held]) - data.goals[held])
        power = 2 if params["loss"] == "mse" else 1
        return float(np.average((away**power).mean(axis=1), weights=data.counts[held]))

    run_epochs(network, epochs, once, held_back)


def _held_back(target: Target) -> tuple[Ints, Ints]:
    """Rows to train on and later ones to stop by; none of these where they would be few."""
    moments = np.arange(len(target.values)) if target.groups is None else target.groups
    border = np.quantile(moments, 1 - HELD_BACK)
    held = np.flatnonzero(moments > border)
    if len(held) < LEAST_HELD_BACK:
        return np.arange(len(moments)), held[:0]
    return np.flatnonzero(moments <= border), held


def _answers(network: Any, rows: Floats) -> Floats:
    parts = [np.asarray(network.predict_on_batch(batch)) for batch in _batches(rows)]
    return np.concatenate(parts)[: len(rows)]


def _batches(rows: Floats) -> Iterator[Floats]:
    for start in range(0, max(len(rows), 1), ROWS):
        batch = rows[start : start + ROWS]
        yield np.concatenate([batch, np.zeros((ROWS - len(batch), rows.shape[1]), np.float32)])
