"""CNN-LSTM hybrid (Deep Augur): relations among features, then sequences of them, then all of it.

Every step of the packet sequence is joined with a summary of the flow's features; convolutions
find relations among them, their output runs into an LSTM, and its into fully connected layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from builder.deep.family import TRAINING, NeuralFamily, Params, Shape
from builder.space import Choice, Space

if TYPE_CHECKING:
    import keras

SPACE: Final[Space] = {
    "summary": Choice((8, 16)),  # numbers that stand for the features at each step
    "convolutions": Choice((1, 2)),
    "filters": Choice((16, 32)),
    "kernel": Choice((3, 5)),
    "units": Choice((32, 64)),
    **TRAINING,
}
POOL: Final = 2  # steps made one between the convolutions and the LSTM


def build(shape: Shape, params: Params) -> keras.Model:
    """Put the network together."""
    import keras

    from builder.deep import layers

    table, scaled = layers.features(shape)
    packets, steps, mask = layers.sequences(shape)
    summary = layers.dense(scaled, params["summary"], params, name="summary")
    repeated = keras.layers.RepeatVector(shape.length, name="at_each_step")(summary)
    tensor = keras.layers.Concatenate(name="joined")([steps, repeated])
    tensor = layers.Blank(name="joined_packets")(tensor, mask)
    for number in range(params["convolutions"]):
        name = f"convolution_{number + 1}"
        tensor = layers.convolve(tensor, mask, params["filters"], params, name=name)
    tensor = keras.layers.MaxPooling1D(POOL, name="pooled")(tensor)
    left = layers.Steps(stride=POOL, name="pooled_steps")(packets)
    tensor = layers.recur(tensor, left, params, every=False, name="lstm")
    tensor = keras.layers.Concatenate(name="with_summary")([tensor, summary])
    tensor = layers.dense(tensor, params["units"], params, name="dense")
    return layers.network([table, packets], tensor, shape.width)


FAMILY: Final = NeuralFamily("cnn_lstm", frozenset({"features", "sequences"}), SPACE, build)
