"""What comes is what is: the last window again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.forecast.families.graphs import ColumnsModel
from builder.result import Param
from builder.space import Space


class Naive:
    """The last window, for every one to come."""

    name: Final = "naive"
    task: Final[Task] = "forecast"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = {}

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
        return ColumnsModel(width, (width - target.width - 1,) * target.width)


FAMILY: Final = Naive()
