"""What forecasters share: the scale of a row, in numpy and as ONNX nodes, and whole graphs.

A series is of bytes per service, say, so its size differs by decades. Learnt forecasters see
logarithms less their mean over the past, and answer likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET: Final = 18

Doubles = npt.NDArray[np.float64]


def levelled(features: Floats, horizon: int) -> tuple[Floats, Doubles]:
    """Log of each window less the mean of the past [n, past + horizon + 1], and that mean [n, 1].

    The mean is the last column of the former, too. It is worked out in float64: trees split at
    values that occurred, so the served rows have to be the same to the last bit.
    """
    logs = np.log(1.0 + features.astype(np.float64))
    level: Doubles = logs[:, : features.shape[1] - horizon].mean(axis=1, keepdims=True)
    return np.concatenate([logs - level, level], axis=1).astype(np.float32), level


def restored(answer: Floats, level: Doubles) -> Floats:
    """A levelled answer [n, horizon] as sums of windows, never negative."""
    return np.maximum(np.exp(answer + level) - 1.0, 0.0).astype(np.float32)


def levelled_nodes(past: int) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes from ``features`` to ``levelled`` and ``level``, and their constants."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "one": np.float64(1),
        "start": np.array([0], np.int64),
        "past": np.array([past], np.int64),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["features"], ["sums"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["sums", "one"], ["raised"]),
        helper.make_node("Log", ["raised"], ["logs"]),
        helper.make_node("Slice", ["logs", "start", "past", "axis"], ["seen"]),
        helper.make_node("ReduceMean", ["seen", "axis"], ["level"], keepdims=1),
        helper.make_node("Sub", ["logs", "level"], ["away"]),
        helper.make_node("Concat", ["away", "level"], ["exact"], axis=1),
        helper.make_node("Cast", ["exact"], ["levelled"], to=TensorProto.FLOAT),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]


def restored_nodes() -> list[NodeProto]:
    """Nodes from ``answer`` to ``forecast``; they use the constants of `levelled_nodes`."""
    from onnx import TensorProto, helper

    return [
        helper.make_node("Cast", ["answer"], ["answered"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["answered", "level"], ["logarithm"]),
        helper.make_node("Exp", ["logarithm"], ["power"]),
        helper.make_node("Sub", ["power", "one"], ["signed"]),
        helper.make_node("Relu", ["signed"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["forecast"], to=TensorProto.FLOAT),
    ]


def forecast_graph(
    nodes: Sequence[NodeProto], constants: Sequence[TensorProto], *, width: int, horizon: int
) -> bytes:
    """Serialise a graph from ``features`` [n, width] to ``forecast`` [n, horizon]."""
    from onnx import TensorProto, checker, helper

    def value(name: str, columns: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, columns])

    graph = helper.make_graph(
        list(nodes), "forecast", [value("features", width)], [value("forecast", horizon)],
        initializer=list(constants),
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())
