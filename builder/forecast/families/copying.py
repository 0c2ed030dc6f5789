"""What forecasters share that learn nothing: the answer is columns of the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.forecast.families.graphs import forecast_graph
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Space


@dataclass(frozen=True, slots=True)
class ColumnsModel:
    """Answers with columns of the row."""

    width: int
    columns: tuple[int, ...]

    def predict(self, inputs: Inputs) -> Floats:
        """Those columns: float32 [n, horizon]."""
        return inputs.table()[:, list(self.columns)]

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from onnx import helper, numpy_helper

        chosen = numpy_helper.from_array(np.array(self.columns, np.int64), "columns")
        node = helper.make_node("Gather", ["features", "columns"], ["forecast"], axis=1)
        return forecast_graph([node], [chosen], width=self.width, horizon=len(self.columns))


@dataclass(frozen=True, slots=True)
class Copying:
    """A forecaster that copies; ``columns`` says which, for so much past and such a horizon."""

    name: str
    columns: Callable[[int, int], tuple[int, ...]]
    task: Task = "forecast"
    uses: frozenset[Use] = frozenset({"features"})
    space: Space = field(default_factory=dict)

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],  # noqa: ARG002 - there are none
        seed: int,  # noqa: ARG002 - nothing is drawn
        threads: int,  # noqa: ARG002 - nothing is trained
    ) -> Model:
        """Learn nothing."""
        width = inputs.table().shape[1]
        return ColumnsModel(width, self.columns(width - target.width, target.width))
