"""LSTM (Hochreiter and Schmidhuber 1997) on packet sequences, many to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from builder.deep.family import TRAINING, NeuralFamily, Params, Shape
from builder.space import Choice, Space

if TYPE_CHECKING:
    import keras

SPACE: Final[Space] = {
    "recurrences": Choice((1, 2)),
    "units": Choice((16, 32, 64)),
    **TRAINING,
}


def build(shape: Shape, params: Params) -> keras.Model:
    """Put the network together."""
    from builder.deep import layers

    raw, tensor, mask = layers.sequences(shape)
    last = params["recurrences"] - 1
    for number in range(params["recurrences"]):
        name = f"lstm_{number + 1}"
        tensor = layers.recur(tensor, mask, params, every=number < last, name=name)
    tensor = layers.dense(tensor, params["units"], params, name="dense")
    return layers.network([raw], tensor, shape.width)


FAMILY: Final = NeuralFamily("lstm", frozenset({"sequences"}), SPACE, build)
