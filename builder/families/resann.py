"""ResANN (Deep Augur): two fully connected blocks; the second also sees the original input.

The input of the second block is the concatenation of the input and the output of the first, so
that the features keep their weight in a deep network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from builder.deep.family import TRAINING, NeuralFamily, Params, Shape
from builder.space import Choice, Space

if TYPE_CHECKING:
    import keras

SPACE: Final[Space] = {
    "depth": Choice((1, 2, 3)),  # of each block
    "units": Choice((32, 64, 128)),
    **TRAINING,
}


def build(shape: Shape, params: Params) -> keras.Model:
    """Put the network together."""
    import keras

    from builder.deep import layers

    def block(tensor: layers.Tensor, name: str) -> layers.Tensor:
        for number in range(params["depth"]):
            tensor = layers.dense(tensor, params["units"], params, name=f"{name}_{number + 1}")
        return tensor

    raw, scaled = layers.features(shape)
    bypassed = keras.layers.Concatenate(name="bypass")([scaled, block(scaled, "first")])
    return layers.network([raw], block(bypassed, "second"), shape.width)


FAMILY: Final = NeuralFamily("resann", frozenset({"features"}), SPACE, build)
