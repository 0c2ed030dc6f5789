"""Transfer learning: a trained network goes on in a new scenario, most of it as it is.

The weights come from the ONNX graph of a packaged analyser, the architecture from its family and
hyperparameters; nothing else is stored for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from builder.families import families
from builder.families.base import Inputs, Model, Target, Task, Use
from builder.origin import Origin
from builder.result import Param
from builder.space import Choice, LogUniform, Space

Freeze = Literal["all-but-last", "nothing"]
FREE: Final = 2  # layers with weights that learn when all but the last are frozen


class Transferred:
    """A network whose training begins with the weights of another.

    Classes of ``labels`` that the other knows begin with its answers, and are answered even where
    there is no row to learn them from; the others begin anew.
    """

    task: Final[Task] = "classify"

    def __init__(self, origin: Origin, freeze: Freeze, labels: tuple[str, ...] = ()) -> None:
        self._family: Any = families()[origin.family]
        self.origin, self._freeze, self._labels = origin, freeze, labels
        self.name = origin.family
        self.uses: frozenset[Use] = self._family.uses

    def towards(self, labels: tuple[str, ...]) -> Transferred:
        """The same, for these classes."""
        return Transferred(self.origin, self._freeze, labels)

    @property
    def digest(self) -> str:
        """Of the weights, and of what is done with them."""
        return hashlib.sha256(self._freeze.encode() + self.origin.onnx).hexdigest()

    @property
    def space(self) -> Space:
        """How fast it learns; all else is as in the original."""
        fixed = {name: Choice((value,)) for name, value in self.origin.params.items()}
        return {**fixed, "learning_rate": LogUniform(3e-4, 1e-2)}

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Take the weights over, freeze, and train what is left."""
        from builder.deep.family import shape_of
        from builder.deep.onnx_export import graph_weights

        model = self._family.network(
            shape_of(inputs, target.width), params, seed=seed, threads=threads
        )
        stored = graph_weights(self.origin.onnx)
        take_over(model.network, stored)
        known = take_over_classes(model.network, stored, self.origin.labels, self._labels)
        if self._freeze == "all-but-last":
            freeze_all_but_last(model.network)
        trained: Model = model.train(
            inputs, target, params=params, seed=seed, epochs=int(params["epochs"] or 1), known=known
        )
        return trained


def take_over(network: Any, weights: Mapping[str, npt.NDArray[np.float32]]) -> int:
    """Set the weights that are there by name and shape, besides those of the last layer, which are
    of classes; how many values were taken over.
    """
    from builder.deep.layers import HEAD

    taken = 0
    for variable in network.variables:
        stored = None if variable.path.startswith(f"{HEAD}/") else weights.get(variable.path)
        if stored is not None and stored.shape == tuple(variable.shape):
            variable.assign(stored)
            taken += stored.size
    return taken


def take_over_classes(
    network: Any,
    weights: Mapping[str, npt.NDArray[np.float32]],
    old: tuple[str, ...],
    new: tuple[str, ...],
) -> npt.NDArray[np.int64]:
    """Set the last layer's weights of the classes that both networks have, by their labels.

    Returns their numbers in ``new``. A class that the other never saw a row of is not known to it.
    """
    from builder.deep.layers import HEAD
    from builder.deep.model import NEVER
    from builder.deep.model import weights as weights_of

    head = network.get_layer(HEAD)
    kernel, bias = weights_of(head)
    kernel_before, bias_before = weights[f"{HEAD}/kernel"], weights[f"{HEAD}/bias"]
    known = [
        (new.index(label), place)
        for place, label in enumerate(old)
        if label in new and bias_before[place] > NEVER / 2
    ]
    for number, place in known:
        kernel[:, number], bias[number] = kernel_before[:, place], bias_before[place]
    head.set_weights([kernel, bias])
    return np.array([number for number, _ in known], dtype=np.int64)


def freeze_all_but_last(network: Any) -> None:
    """Let only the last layers with weights learn; the scaling of the inputs never does.

    A normalisation is no layer of its own here: it learns where the layer before it does.
    """
    from keras.layers import BatchNormalization

    layers = [layer for layer in network.layers if layer.trainable_weights]
    places = [n for n, layer in enumerate(layers) if not isinstance(layer, BatchNormalization)]
    for layer in layers[: places[-FREE]] if len(places) >= FREE else []:
        layer.trainable = False
