"""A network with its training: what a family of networks fits and a stored STA comes back as."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from builder.deep import layers
from builder.deep.compiled import share_steps
from builder.deep.family import Params
from builder.deep.onnx_export import network_graph
from builder.families.base import Inputs, Ints, Target, class_weights
from builder.folds import plan_validation
from builder.preprocess import Floats
from builder.scaling import Scaling, measured

ROWS: Final = 256  # answered at once: one compiled shape for any number of rows
PATIENCE: Final = 5  # epochs without a smaller loss on the rows held back
HOLD_BACK: Final = 10  # one row in so many
NEVER: Final = -50.0  # the margin of a class that had no training row


@dataclass(frozen=True, slots=True)
class Epoch:
    """The mean loss of an epoch; ``held_back`` on the rows not trained on, if there were any."""

    loss: float
    held_back: float | None


@dataclass(frozen=True, slots=True)
class NeuralModel:
    """A network; ``epochs`` is its learning curve, one entry each.

    Networks of one ``kind`` have the same layers and hyperparameters, so they compile alike.
    """

    network: Any  # keras.Model, from inputs named as the fields of Inputs to margins [n, width]
    width: int
    epochs: tuple[Epoch, ...] = ()
    kind: Hashable = None

    def predict(self, inputs: Inputs) -> Floats:
        """Probability of each class: float32 [n, width]."""
        return _softmax(_margins(self.network, inputs))

    def export(self) -> bytes:
        """Serialise as an ONNX graph; its initialisers are the weights, by name."""
        return network_graph(self.network)

    def scale(self, inputs: Inputs) -> None:
        """Learn the scaling of the inputs from training rows."""
        if inputs.features is not None:
            learnt = Scaling.learn(inputs.features, measured(inputs.features))
            self.network.get_layer(layers.FEATURE_SCALE).set_weights(learnt.parts())
        if inputs.sequences is not None:
            steps = inputs.sequences[inputs.sequences.any(axis=-1)]
            steps = steps if len(steps) else np.zeros_like(inputs.sequences[0, :1])
            learnt = Scaling.learn(steps)
            self.network.get_layer(layers.SEQUENCE_SCALE).set_weights(learnt.parts())

    def train(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Params,
        seed: int,
        epochs: int,
        known: Ints | None = None,
    ) -> NeuralModel:
        """Train what is trainable, and keep the weights with the smallest loss held back.

        Of ``params`` it reads ``optimizer``, ``learning_rate``, ``batch_size``, ``class_weight``.
        A class without rows is never answered, unless it is ``known`` from before.

        Raises
        ------
        FloatingPointError
            The loss is not finite.
        """
        network, classes = self.network, target.values.astype(np.int64)
        network.compile(
            optimizer=optimiser(params["optimizer"], params["learning_rate"]),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        if self.kind is not None:
            share_steps(network, self.kind)
        importance = np.ones(len(classes))
        if params["class_weight"] == "balanced":
            importance = class_weights(classes, self.width)
        kept, held = hold_back(target, seed=seed)
        rows = _Rows(inputs, classes, importance.astype(np.float32))
        rng = np.random.default_rng(seed)
        curve = run_epochs(
            network,
            epochs,
            lambda: _train_once(network, rows, rng.permutation(kept), params["batch_size"]),
            lambda: _loss(network, rows.take(held)) if len(held) else None,
        )
        learnt = classes if known is None else np.union1d(classes, known)
        _rule_out(network, np.setdiff1d(np.arange(self.width), learnt))
        return replace(self, epochs=(*self.epochs, *curve))


def run_epochs(
    network: Any, most: int, once: Callable[[], float], held_back: Callable[[], float | None]
) -> tuple[Epoch, ...]:
    """Train epoch by epoch, and keep the weights with the smallest loss held back.

    ``once`` trains for an epoch and gives its loss, ``held_back`` that on other rows, or None
    where there are none: then every epoch is trained, and the last weights stay.

    Raises
    ------
    FloatingPointError
        The loss is not finite.
    """
    curve, best, best_weights, since = list[Epoch](), math.inf, None, 0
    for number in range(most):
        loss, held_loss = once(), held_back()
        if not math.isfinite(loss) or (held_loss is not None and not math.isfinite(held_loss)):
            raise FloatingPointError(f"the loss is not finite after epoch {number + 1}")
        curve.append(Epoch(loss, held_loss))
        if held_loss is None:
            continue
        if held_loss < best:
            best, best_weights, since = held_loss, weights(network), number
        elif number - since >= PATIENCE:
            break
    if best_weights is not None:
        network.set_weights(best_weights)
    return tuple(curve)


@dataclass(frozen=True, slots=True)
class _Rows:
    inputs: Inputs
    classes: Ints
    weights: Floats

    def take(self, rows: Ints) -> _Rows:
        return _Rows(self.inputs.take(rows), self.classes[rows], self.weights[rows])


def hold_back(target: Target, *, seed: int) -> tuple[Ints, Ints]:
    """Rows to train on and rows to stop by, no activity among both; none of these for few rows."""
    classes, every = target.values.astype(np.int64), np.arange(len(target.values))
    groups = every if target.groups is None else target.groups
    labels = tuple(str(number) for number in range(target.width))
    plan = plan_validation(classes, groups, folds=HOLD_BACK, seed=seed, labels=labels)
    kept, held = plan.folds[0].train, plan.folds[0].valid
    if len(np.setdiff1d(classes, classes[kept])):  # a class would not be learnt
        return every, every[:0]
    return kept, held


def optimiser(name: str, learning_rate: float) -> Any:
    """An optimiser of Keras, its steps bounded."""
    if name == "sgd":  # whose steps are not divided by the size of the gradient
        return keras.optimizers.SGD(10 * learning_rate, momentum=0.9, nesterov=True, clipnorm=1.0)
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    return kinds[name](learning_rate, clipnorm=1.0)


def _train_once(network: Any, rows: _Rows, order: Ints, batch_size: int) -> float:
    """Mean loss of one pass; the last batch is filled up with rows of weight 0."""
    filled = np.resize(order, -(-len(order) // batch_size) * batch_size)
    chosen = rows.take(filled)
    chosen.weights[len(order) :] = 0
    history = network.fit(
        _feed(chosen.inputs),
        chosen.classes.astype(np.int32),
        sample_weight=chosen.weights,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
    )
    return float(history.history["loss"][0])


def _loss(network: Any, rows: _Rows) -> float:
    chances = _softmax(_margins(network, rows.inputs))[np.arange(len(rows.classes)), rows.classes]
    return float(np.average(-np.log(np.maximum(chances, 1e-12)), weights=rows.weights))


def _margins(network: Any, inputs: Inputs) -> Floats:
    answers = [np.asarray(network.predict_on_batch(batch)) for batch in _batches(inputs)]
    return np.concatenate(answers)[: len(inputs)]


def _batches(inputs: Inputs) -> Iterator[dict[str, Floats]]:
    for start in range(0, max(len(inputs), 1), ROWS):
        batch = inputs.take(np.arange(start, min(start + ROWS, len(inputs))))
        yield {
            name: np.concatenate([part, np.zeros((ROWS - len(part), *part.shape[1:]), np.float32)])
            for name, part in _feed(batch).items()
        }


def _feed(inputs: Inputs) -> dict[str, Floats]:
    named = {"features": inputs.features, "sequences": inputs.sequences}
    return {name: array for name, array in named.items() if array is not None}


def _softmax(margins: Floats) -> Floats:
    odds = np.exp(margins - margins.max(axis=1, keepdims=True))
    chances: Floats = odds / odds.sum(axis=1, keepdims=True)
    return chances


def weights(layer: Any) -> list[Floats]:
    """Copies of the weights of a layer or network, in its order."""
    return [np.array(ops.convert_to_numpy(variable.value)) for variable in layer.weights]


def _rule_out(network: Any, absent: Ints) -> None:
    """Answer no class that there was nothing to learn of."""
    head = network.get_layer(layers.HEAD)
    kernel, bias = weights(head)
    kernel[:, absent], bias[absent] = 0.0, NEVER
    head.set_weights([kernel, bias])
