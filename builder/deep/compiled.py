"""Compiled steps that networks share: tracing one again costs more than training a short while.

On JAX a step is a pure function of the weights, so what was compiled for one network is right for
every other of the same parts. The folds of a trial, and the rounds of a search by halving, are
such networks. Other backends' steps hold on to the variables of their own network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final

import keras

MOST: Final = 8  # kinds of network whose steps are kept
_STEPS: OrderedDict[Hashable, tuple[Any, Any]] = OrderedDict()


def share_steps(network: Any, kind: Hashable) -> None:
    """Give a network that was just compiled by Keras the steps of others of its ``kind``.

    Networks are of one kind if they have the same layers, optimiser and loss.
    """
    if keras.backend.backend() != "jax":
        return
    key = (kind, tuple(layer.trainable for layer in network.layers))
    if key not in _STEPS:
        network.make_train_function()
        network.make_predict_function()
        _STEPS[key] = network.train_function, network.predict_function
    _STEPS.move_to_end(key)
    network.train_function, network.predict_function = _STEPS[key]
    while len(_STEPS) > MOST:
        _STEPS.popitem(last=False)
