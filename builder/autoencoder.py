"""How unusual a row is among normal ones: how badly a network that learnt only these repeats it.

A network of fully connected layers learns to give back what it gets, through a layer that is too
narrow to hold everything: what it was not shown comes back wrong (Hawkins et al. 2002).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats
from builder.scaling import Scaling, scaling_nodes

if TYPE_CHECKING:
    from onnx import GraphProto

BATCH: Final = 256
EPOCHS: Final = 200
PATIENCE: Final = 20  # epochs without a better fit to the rows held back
PERFECT: Final = 1e-9  # an error that is no smaller has a logarithm
NARROWEST: Final = 1e-3

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """A fitted network, in float64, for far rows have huge errors.

    ``layers`` are weights [inputs, outputs] and biases [outputs], with rectifiers between them;
    ``usual`` and ``step`` bring the logarithm of the mean squared error to one scale.
    """

    scaling: Scaling
    layers: tuple[tuple[Doubles, Doubles], ...]
    usual: float = 0.0
    step: float = 1.0

    def surprise(self, rows: Floats) -> Doubles:
        """Logarithm of the mean squared error of raw rows [n, columns], scaled: [n]."""
        given = self.scaling.apply(rows.astype(np.float64))
        values = given
        for number, (weights, biases) in enumerate(self.layers):
            values = (np.maximum(values, 0) if number else values) @ weights + biases
        return np.asarray(np.log(((values - given) ** 2).mean(axis=1) + PERFECT), dtype=np.float64)

    def placed(self, held: Floats) -> Autoencoder:
        """The same with its scale set by normal rows that it was not fitted to."""
        middle, usual = np.quantile(self.surprise(held), [0.5, 0.99])
        return replace(self, usual=float(usual), step=float(max(usual - middle, NARROWEST)) / 2)

    def unusual(self, rows: Floats) -> Doubles:
        """The same in [0, 1]; one half is what one normal row in a hundred reaches."""
        from scipy.special import expit

        return np.asarray(expit((self.surprise(rows) - self.usual) / self.step), dtype=np.float64)


def learn_autoencoder(rows: Floats, *, hidden: tuple[int, ...], seed: int) -> Autoencoder:
    """Fit layers of ``hidden`` units to normal rows [n, columns], n at least 20."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor
    from threadpoolctl import threadpool_limits

    scaling = Scaling.learn(rows)
    scaled = scaling.apply(rows).astype(np.float64)
    network = MLPRegressor(
        hidden_layer_sizes=hidden,
        batch_size=min(BATCH, len(rows) // 2),
        early_stopping=True,
        max_iter=EPOCHS,
        n_iter_no_change=PATIENCE,
        random_state=seed,
    )
    # With more threads the order of the sums, so their last bits, would vary.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(scaled, scaled)
    return Autoencoder(scaling, tuple(zip(network.coefs_, network.intercepts_, strict=True)))


@dataclass(frozen=True, slots=True)
class Nodes:
    """Adds to a graph, under a name."""

    graph: GraphProto
    name: str = "guard"

    def value(self, name: str, array: npt.ArrayLike, kind: type = np.float64) -> str:
        """Add a constant; its name."""
        from onnx import numpy_helper

        constant = numpy_helper.from_array(np.asarray(array, dtype=kind), f"{self.name}/{name}")
        self.graph.initializer.append(constant)
        return f"{self.name}/{name}"

    def node(self, operator: str, *inputs: str, output: str | None = None, **more: int) -> str:
        """Add a node; the name of its output."""
        from onnx import helper

        output = output or f"{self.name}/{len(self.graph.node)}"
        self.graph.node.append(
            helper.make_node(operator, inputs, [output], None, None, None, None, **more)
        )
        return output


def autoencoder_nodes(add: Nodes, model: Autoencoder, last: str) -> str:
    """What :meth:`Autoencoder.unusual` does, as [n, 1]."""
    from onnx import TensorProto

    names = ("centre", "unit", "mean", "deviation")
    parts = zip(names, model.scaling.parts(), strict=True)
    parameters = tuple(add.value(name, array) for name, array in parts)
    rows, given = add.node("Cast", "features", to=TensorProto.DOUBLE), f"{add.name}/given"
    scaling_nodes(add.graph, rows, parameters, given, np.float64)
    values = given
    for number, (weights, biases) in enumerate(model.layers):
        values = add.node("Relu", values) if number else values
        product = add.node("MatMul", values, add.value(f"weights_{number}", weights))
        values = add.node("Add", product, add.value(f"biases_{number}", biases))
    away = add.node("Sub", values, given)
    error = add.node("ReduceMean", add.node("Mul", away, away), last, keepdims=1)
    surprise = add.node("Log", add.node("Add", error, add.value("perfect", PERFECT)))
    beyond = add.node("Sub", surprise, add.value("usual", model.usual))
    return add.node("Sigmoid", add.node("Div", beyond, add.value("step", model.step)))
