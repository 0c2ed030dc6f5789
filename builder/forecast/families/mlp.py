"""Multi-layer perceptron: fully connected layers on the past and the season before."""

from __future__ import annotations

from typing import Any, Final

from builder.deep.family import Params
from builder.forecast.families.networks import TRAINING, NeuralForecaster
from builder.space import Choice, Space

SPACE: Final[Space] = {"depth": Choice((1, 2)), "units": Choice((32, 64)), **TRAINING}


def build(levels: Any, past: int, horizon: int, params: Params) -> Any:  # noqa: ARG001
    """Layer after layer."""
    from builder.deep import layers

    tensor = levels
    for number in range(params["depth"]):
        tensor = layers.dense(tensor, params["units"], params, name=f"dense_{number + 1}")
    return tensor


FAMILY: Final = NeuralForecaster("mlp", SPACE, build)
