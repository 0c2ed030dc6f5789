"""How unusual a row is among normal ones: a mixture of Gaussians over scaled features."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats
from builder.scaling import LIMIT, Scaling

if TYPE_CHECKING:
    from onnx import GraphProto
    from sklearn.mixture import GaussianMixture

ROWS_EACH: Final = 10  # at least so many training rows for a component
NARROWEST: Final = 1e-3

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Density:
    """How unusual a row is among the normal ones. All in float64, for far rows have huge terms.

    ``square``, ``linear`` [columns, components] and ``constant`` [components] give the logarithm
    of each weighted Gaussian; ``usual`` and ``step`` bring its negative sum to one scale.
    """

    scaling: Scaling
    square: Doubles
    linear: Doubles
    constant: Doubles
    usual: float = 0.0
    step: float = 1.0

    def surprise(self, rows: Floats) -> Doubles:
        """Negative logarithm of the density of raw rows [n, columns]: [n]."""
        from scipy.special import logsumexp

        centre, unit, mean, deviation = (p.astype(np.float64) for p in self.scaling.parts())
        units = (rows.astype(np.float64) - centre) / unit
        logs = np.sign(units) * np.log(1.0 + np.abs(units))
        z = np.clip((logs - mean) / deviation, -LIMIT, LIMIT)
        terms = (z * z) @ self.square + z @ self.linear + self.constant
        return -np.asarray(logsumexp(terms, axis=1), dtype=np.float64)

    def placed(self, held: Floats) -> Density:
        """The same with its scale set by normal rows that it was not fitted to."""
        middle, usual = np.quantile(self.surprise(held), [0.5, 0.99])
        return replace(self, usual=float(usual), step=float(max(usual - middle, NARROWEST)) / 2)

    def unusual(self, rows: Floats) -> Doubles:
        """The same in [0, 1]; one half is what one normal row in a hundred reaches."""
        from scipy.special import expit

        return np.asarray(expit((self.surprise(rows) - self.usual) / self.step), dtype=np.float64)


def learn_density(rows: Floats, *, components: int, least_variance: float, seed: int) -> Density:
    """Fit the mixture to normal rows [n, columns]."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    scaling = Scaling.learn(rows)
    count = max(1, min(components, len(rows) // ROWS_EACH))
    mixture = GaussianMixture(
        n_components=count,
        covariance_type="diag",
        reg_covar=least_variance,
        max_iter=60,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(scaling.apply(rows).astype(np.float64))
    return Density(scaling, *_terms(mixture))


def _terms(mixture: GaussianMixture) -> tuple[Doubles, Doubles, Doubles]:
    """Each component's logarithm as a polynomial of the scaled row."""
    means, variances = mixture.means_, mixture.covariances_
    constant = np.log(mixture.weights_) - 0.5 * (
        np.log(2 * np.pi * variances) + means**2 / variances
    ).sum(axis=1)
    return (-0.5 / variances).T.copy(), (means / variances).T.copy(), constant


@dataclass(frozen=True, slots=True)
class Nodes:
    """Adds to a graph."""

    graph: GraphProto

    def value(self, name: str, array: npt.ArrayLike, kind: type = np.float64) -> str:
        """Add a constant; its name."""
        from onnx import numpy_helper

        constant = numpy_helper.from_array(np.asarray(array, dtype=kind), f"guard/{name}")
        self.graph.initializer.append(constant)
        return f"guard/{name}"

    def node(self, operator: str, *inputs: str, output: str | None = None, **more: int) -> str:
        """Add a node; the name of its output."""
        from onnx import helper

        output = output or f"guard/{len(self.graph.node)}"
        self.graph.node.append(
            helper.make_node(operator, inputs, [output], None, None, None, None, **more)
        )
        return output


def density_nodes(add: Nodes, density: Density, one: str, last: str) -> str:
    """What :meth:`Density.unusual` does, as [n, 1]."""
    from onnx import TensorProto

    names = ("centre", "unit", "mean", "deviation")
    parts = zip(names, density.scaling.parts(), strict=True)
    centre, unit, mean, deviation = (add.value(name, array) for name, array in parts)
    rows = add.node("Cast", "features", to=TensorProto.DOUBLE)
    units = add.node("Div", add.node("Sub", rows, centre), unit)
    size = add.node("Log", add.node("Add", add.node("Abs", units), one))
    logs = add.node("Mul", add.node("Sign", units), size)
    standard = add.node("Div", add.node("Sub", logs, mean), deviation)
    z = add.node("Clip", standard, add.value("low", -LIMIT), add.value("high", LIMIT))
    squares = add.node("MatMul", add.node("Mul", z, z), add.value("square", density.square))
    linear = add.node("MatMul", z, add.value("linear", density.linear))
    both = add.node("Add", squares, linear)
    terms = add.node("Add", both, add.value("constant", density.constant))
    surprise = add.node("Neg", add.node("ReduceLogSumExp", terms, last, keepdims=1))
    away = add.node("Sub", surprise, add.value("usual", density.usual))
    return add.node("Sigmoid", add.node("Div", away, add.value("step", density.step)))
