"""Numbers of very different size brought to one scale, for models that are not trees.

Learnt from training rows and written into the exported graph, so that serving knows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt

from builder.preprocess import CONSTANT, Floats

if TYPE_CHECKING:
    from onnx import GraphProto

Real = TypeVar("Real", np.float32, np.float64)

LIMIT: Final = 8.0  # no scaled value is further from 0
NARROW: Final = 0.05  # a spread of the logarithm below which the logarithm would only round
SMALL: Final = 0.1  # the quantile of magnitudes that counts as one unit


@dataclass(frozen=True, slots=True)
class Scaling:
    """A signed logarithm, then mean 0 and standard deviation 1; every field is float32 [columns].

    With u = (x - centre) / unit the answer is (sign(u) log(1 + |u|) - mean) / deviation, cut off
    at ``LIMIT``. Columns over decades have centre 0 and a small unit; narrow ones are centred
    first, for the logarithm of nearly equal numbers keeps too few digits.
    """

    centre: Floats
    unit: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def learn(cls, values: Floats, known: npt.NDArray[np.bool_] | None = None) -> Self:
        """Learn from rows [n, columns], n at least 1; only ``known`` [n, columns] values count."""
        known = np.ones(values.shape, dtype=np.bool_) if known is None else known
        columns = [
            _column(column[seen].astype(np.float64))
            for column, seen in zip(values.T, known.T, strict=True)
        ]
        parameters = np.array(columns, dtype=np.float32).reshape(-1, 4).T
        return cls(*np.ascontiguousarray(parameters))

    def apply(self, values: npt.NDArray[Real]) -> npt.NDArray[Real]:
        """Scale [..., columns], in float32 or float64."""
        units = (values - self.centre) / self.unit
        logs = np.sign(units) * np.log(np.float32(1) + np.abs(units))
        scaled: npt.NDArray[Real] = np.clip((logs - self.mean) / self.deviation, -LIMIT, LIMIT)
        return scaled

    def parts(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The fields, in order."""
        return self.centre, self.unit, self.mean, self.deviation


def measured(features: Floats) -> npt.NDArray[np.bool_]:
    """Which values [n, columns] were measured, not filled in."""
    known: npt.NDArray[np.bool_] = features != np.float32(CONSTANT)
    return known


def _column(values: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    if not len(values) or values.min() == values.max():
        return (float(values[0]) if len(values) else 0.0), 1.0, 0.0, 1.0
    size = np.abs(values)
    unit = float(np.quantile(size[size > 0], SMALL))
    logs = np.sign(values) * np.log1p(size / unit)
    if logs.std() >= NARROW:
        return 0.0, unit, float(logs.mean()), float(logs.std())
    centre, unit = float(values.mean()), float(values.std())
    logs = np.sign(values - centre) * np.log1p(np.abs(values - centre) / unit)
    return centre, unit, float(logs.mean()), float(logs.std())


def scaling_nodes(
    graph: GraphProto,
    source: str,
    parameters: tuple[str, ...],
    target: str,
    kind: type[np.floating[Any]] = np.float32,
) -> None:
    """Add what :meth:`Scaling.apply` does, from ``source`` to ``target``.

    ``parameters`` names the initialisers of the fields, in order, of one ``kind`` with it.
    """
    from onnx import helper, numpy_helper

    def constant(name: str, value: float) -> str:
        array = np.array(value, dtype=kind)
        graph.initializer.append(numpy_helper.from_array(array, f"{target}/{name}"))
        return f"{target}/{name}"

    def node(operator: str, *inputs: str, output: str | None = None) -> str:
        output = output or f"{target}/{len(graph.node)}"
        graph.node.append(helper.make_node(operator, inputs, [output]))
        return output

    centre, unit, mean, deviation = parameters
    units = node("Div", node("Sub", source, centre), unit)
    size = node("Log", node("Add", node("Abs", units), constant("one", 1.0)))
    logs = node("Mul", node("Sign", units), size)
    standard = node("Div", node("Sub", logs, mean), deviation)
    low, high = constant("low", -LIMIT), constant("high", LIMIT)
    node("Clip", standard, low, high, output=target)
