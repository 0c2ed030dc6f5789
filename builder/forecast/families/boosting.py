"""Gradient boosted trees of XGBoost, one ensemble for each window to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.forecast.families.graphs import (
    forecast_graph,
    levelled,
    levelled_nodes,
    restored,
    restored_nodes,
)
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Choice, IntRange, LogUniform, Space, Uniform

if TYPE_CHECKING:
    from xgboost import Booster

SPACE: Final[Space] = {
    "objective": Choice(("reg:absoluteerror", "reg:squarederror")),
    "rounds": IntRange(30, 200, log=True),
    "max_depth": IntRange(2, 8),
    "learning_rate": LogUniform(0.02, 0.3),
    "min_child_weight": LogUniform(1.0, 30.0),
    "subsample": Uniform(0.5, 1.0),
    "colsample_bytree": Uniform(0.4, 1.0),
}


@dataclass(frozen=True, slots=True)
class BoostedForecast:
    """Fitted ensembles, the next window's first."""

    boosters: tuple[Booster, ...]

    def predict(self, inputs: Inputs) -> Floats:
        """Sums of the windows to come: float32 [n, horizon]."""
        rows, level = levelled(inputs.table(), len(self.boosters))
        steps = [booster.inplace_predict(rows) for booster in self.boosters]
        return restored(np.stack(steps, axis=1).astype(np.float32), level)

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from onnx import helper
        from onnxmltools.convert import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        columns, horizon = self.boosters[0].num_features(), len(self.boosters)
        nodes, constants = levelled_nodes(columns - 1 - horizon)
        names = [f"step{step}" for step in range(horizon)]
        for name, booster in zip(names, self.boosters, strict=True):
            made = convert_xgboost(
                booster,
                initial_types=[("levelled", FloatTensorType([None, columns]))],
                target_opset=15,
            )
            (node,) = made.graph.node
            node.output[:] = [name]
            node.name = name
            nodes.append(node)
        nodes.append(helper.make_node("Concat", names, ["answer"], axis=1))
        nodes += restored_nodes()
        return forecast_graph(nodes, constants, width=columns - 1, horizon=horizon)


class Boosting:
    """Trees on levelled logarithms, each correcting the sum of those before."""

    name: Final = "boosting"
    task: Final[Task] = "forecast"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = SPACE

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Boost one ensemble per window to come."""
        import xgboost

        settings = dict(params)
        rounds = settings.pop("rounds")
        rows, level = levelled(inputs.table(), target.width)
        goals = (np.log(1.0 + target.values) - level).astype(np.float32)
        # With a start of 0 the converter has nothing to get wrong.
        common = {"base_score": 0.0, "seed": seed, "nthread": threads, "verbosity": 0}
        boosters = []
        for step in range(target.width):
            table = xgboost.DMatrix(rows, goals[:, step], nthread=threads)
            boosters.append(xgboost.train(settings | common, table, num_boost_round=rounds))
        return BoostedForecast(tuple(boosters))


FAMILY: Final = Boosting()
