"""What tree ensembles share: making a converter's ONNX graph keep the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


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
