"""LSTM (Hochreiter and Schmidhuber 1997) over the past windows.

Many to one for a horizon of one window; many to many, all windows to come at once, for more.
"""

from __future__ import annotations

from typing import Any, Final

from builder.deep.family import Params
from builder.forecast.families.networks import TRAINING, NeuralForecaster
from builder.space import Choice, Space

SPACE: Final[Space] = {"recurrences": Choice((1, 2)), "units": Choice((16, 32)), **TRAINING}


def build(levels: Any, past: int, horizon: int, params: Params) -> Any:  # noqa: ARG001
    """What an LSTM, or one upon another, remembers of the past."""
    from builder.deep import layers

    tensor = layers.Past(past, name="past")(levels)
    last = params["recurrences"] - 1
    for number in range(params["recurrences"]):
        name = f"lstm_{number + 1}"
        tensor = layers.recur(tensor, None, params, every=number < last, name=name)
    return tensor


FAMILY: Final = NeuralForecaster("lstm", SPACE, build)
