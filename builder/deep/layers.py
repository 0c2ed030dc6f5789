"""The parts that networks are put together from. Every layer is named: names are what is stored."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import layers, ops

from builder.deep.family import Params, Shape
from builder.scaling import LIMIT

Tensor = Any  # of Keras, symbolic

FEATURE_SCALE: Final = "feature_scale"
SEQUENCE_SCALE: Final = "sequence_scale"
HEAD: Final = "margins"


class Scale(layers.Layer):  # type: ignore[misc]
    """:class:`builder.scaling.Scaling` in a network; its weights are the scaling's fields."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights: those that change nothing but by the logarithm."""
        self.fields = [
            self.add_weight(shape=(shape[-1],), initializer=start, trainable=False, name=name)
            for name, start in (
                ("centre", "zeros"),
                ("unit", "ones"),
                ("mean", "zeros"),
                ("deviation", "ones"),
            )
        ]

    def call(self, values: Tensor) -> Tensor:
        """Scale [..., columns]."""
        centre, unit, mean, deviation = self.fields
        units = (values - centre) / unit
        logs = ops.sign(units) * ops.log(1.0 + ops.abs(units))
        return ops.clip((logs - mean) / deviation, -LIMIT, LIMIT)


class Steps(layers.Layer):  # type: ignore[misc]
    """Which steps of raw sequences [n, length, channels] are packets: bool [n, length / stride].

    All up to the last that is not zero throughout, and the first one always. With a stride, which
    steps are left when every ``stride`` of them were made one.
    """

    def __init__(self, *, stride: int = 1, name: str) -> None:
        super().__init__(name=name)
        self.stride = stride

    def call(self, sequences: Tensor) -> Tensor:
        """Find the last packet."""
        there = ops.cast(ops.any(sequences != 0, axis=-1), "float32")
        places = np.arange(1, sequences.shape[1] + 1, dtype=np.float32)
        last = ops.maximum(ops.max(there * places, axis=1, keepdims=True), 1.0)
        kept = places[: len(places) // self.stride]
        return kept <= ops.ceil(last / self.stride)


class Blank(layers.Layer):  # type: ignore[misc]
    """Zeros in [n, steps, channels] where there is no packet."""

    def call(self, values: Tensor, packets: Tensor) -> Tensor:
        """Multiply by 1 or 0."""
        return values * ops.cast(packets, "float32")[:, :, None]


class Past(layers.Layer):  # type: ignore[misc]
    """The first ``steps`` of the columns [n, columns], as a sequence of numbers [n, steps, 1]."""

    def __init__(self, steps: int, *, name: str) -> None:
        super().__init__(name=name)
        self.steps = steps

    def call(self, columns: Tensor) -> Tensor:
        """Leave out the columns that follow."""
        return columns[:, : self.steps, None]


def features(shape: Shape) -> tuple[Tensor, Tensor]:
    """The input of flow features, as it is and scaled."""
    raw = keras.Input((shape.features,), name="features")
    return raw, Scale(name=FEATURE_SCALE)(raw)


def sequences(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """The input of packet sequences, as it is and scaled, and which steps are packets."""
    raw = keras.Input((shape.length, shape.channels), name="sequences")
    mask = Steps(name="steps")(raw)
    return raw, Blank(name="packets")(Scale(name=SEQUENCE_SCALE)(raw), mask), mask


def dense(tensor: Tensor, units: int, params: Params, *, name: str) -> Tensor:
    """A fully connected layer with what the hyperparameters put around it."""
    tensor = layers.Dense(units, kernel_regularizer=_regulariser(params), name=name)(tensor)
    return _finish(tensor, params, name)


def convolve(tensor: Tensor, mask: Tensor, filters: int, params: Params, *, name: str) -> Tensor:
    """A convolution over steps that keeps their number; what is no packet stays zero."""
    tensor = layers.Conv1D(
        filters,
        params["kernel"],
        padding="same",
        kernel_regularizer=_regulariser(params),
        name=name,
    )(tensor)
    return Blank(name=f"{name}_packets")(_finish(tensor, params, name), mask)


def recur(tensor: Tensor, mask: Tensor | None, params: Params, *, every: bool, name: str) -> Tensor:
    """An LSTM over the steps of the mask, or all; its state after each (``every``) or the last."""
    lstm = layers.LSTM(
        params["units"],
        return_sequences=every,
        kernel_regularizer=_regulariser(params),
        name=name,
    )
    tensor = lstm(tensor, mask=mask)
    return _dropout(tensor, params, name)


def network(inputs: list[Tensor], tensor: Tensor, width: int) -> keras.Model:
    """Close a network with the layer that gives the margin of each class."""
    return keras.Model(inputs, layers.Dense(width, name=HEAD)(tensor))


def _regulariser(params: Params) -> Any:
    l1, l2 = params["l1"], params["l2"]
    return keras.regularizers.L1L2(l1, l2) if l1 or l2 else None


def _finish(tensor: Tensor, params: Params, name: str) -> Tensor:
    if params["batch_norm"]:
        tensor = layers.BatchNormalization(name=f"{name}_norm")(tensor)
    tensor = layers.Activation(params["activation"], name=f"{name}_active")(tensor)
    return _dropout(tensor, params, name)


def _dropout(tensor: Tensor, params: Params, name: str) -> Tensor:
    if not params["dropout"]:
        return tensor
    return layers.Dropout(params["dropout"], name=f"{name}_dropout")(tensor)
