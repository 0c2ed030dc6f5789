"""What comes is what was a season ago."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from builder.families.base import Inputs, Model, Target, Task, Use
from builder.forecast.families.graphs import ColumnsModel
from builder.result import Param
from builder.space import Space


class SeasonalNaive:
    """The windows a season, or whole seasons, before those to come."""

    name: Final = "seasonal_naive"
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
        return ColumnsModel(width, tuple(range(width - target.width, width)))


FAMILY: Final = SeasonalNaive()
