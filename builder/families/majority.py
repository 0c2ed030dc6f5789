"""The baseline that looks at nothing: every flow is of the commonest class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Space


@dataclass(frozen=True, slots=True)
class MajorityModel:
    """The share of each class in training."""

    shares: Floats  # [width]
    columns: int

    def predict(self, inputs: Inputs) -> Floats:
        """The shares, for every row: float32 [n, width]."""
        return np.tile(self.shares, (len(inputs), 1))

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from onnx import TensorProto, checker, helper, numpy_helper

        kind, width = TensorProto.FLOAT, len(self.shares)
        nothing = np.zeros((self.columns, width), dtype=np.float32)
        graph = helper.make_graph(
            [helper.make_node("Gemm", ["features", "nothing", "shares"], ["probabilities"])],
            "majority",
            [helper.make_tensor_value_info("features", kind, [None, self.columns])],
            [helper.make_tensor_value_info("probabilities", kind, [None, width])],
            [
                numpy_helper.from_array(nothing, "nothing"),
                numpy_helper.from_array(self.shares, "shares"),
            ],
        )
        opset = helper.make_opsetid("", 18)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
        checker.check_model(model)
        serialised: bytes = model.SerializeToString()
        return serialised


class Majority:
    """The class shares of training, whatever the flow: what a model has to beat at least."""

    name: Final = "majority"
    task: Final[Task] = "classify"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = {}

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Count the classes."""
        counts = np.bincount(target.values.astype(np.int64), minlength=target.width)
        shares = (counts / counts.sum()).astype(np.float32)
        return MajorityModel(shares, inputs.table().shape[1])


FAMILY: Final = Majority()
