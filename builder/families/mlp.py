"""Multi-layer perceptron: fully connected layers, one after the other, on flow features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from builder.deep.family import TRAINING, NeuralFamily, Params, Shape
from builder.space import Choice, Space

if TYPE_CHECKING:
    import keras

SPACE: Final[Space] = {
    "depth": Choice((1, 2, 3)),
    "units": Choice((32, 64, 128)),
    **TRAINING,
}


def build(shape: Shape, params: Params) -> keras.Model:
    """Put the network together."""
    from builder.deep import layers

    raw, tensor = layers.features(shape)
    for number in range(params["depth"]):
        tensor = layers.dense(tensor, params["units"], params, name=f"dense_{number + 1}")
    return layers.network([raw], tensor, shape.width)


FAMILY: Final = NeuralFamily("mlp", frozenset({"features"}), SPACE, build)
