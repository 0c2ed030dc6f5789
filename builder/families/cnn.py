"""Convolutional network on packet sequences: patterns of neighbouring packets, anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from builder.deep.family import TRAINING, NeuralFamily, Params, Shape
from builder.space import Choice, Space

if TYPE_CHECKING:
    import keras

SPACE: Final[Space] = {
    "convolutions": Choice((1, 2, 3)),
    "filters": Choice((16, 32, 64)),
    "kernel": Choice((3, 5)),
    "units": Choice((32, 64)),
    **TRAINING,
}


def build(shape: Shape, params: Params) -> keras.Model:
    """Put the network together."""
    import keras

    from builder.deep import layers

    raw, tensor, mask = layers.sequences(shape)
    for number in range(params["convolutions"]):
        name = f"convolution_{number + 1}"
        tensor = layers.convolve(tensor, mask, params["filters"], params, name=name)
    tensor = keras.layers.GlobalMaxPooling1D(name="strongest")(tensor)
    tensor = layers.dense(tensor, params["units"], params, name="dense")
    return layers.network([raw], tensor, shape.width)


FAMILY: Final = NeuralFamily("cnn", frozenset({"sequences"}), SPACE, build)
