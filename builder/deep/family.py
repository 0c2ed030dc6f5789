"""What the families of networks share: the contract, around a function that puts one together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from builder.families.base import Inputs, Model, Target, Task, Use, share_of
from builder.result import Param
from builder.space import Choice, LogUniform, Space

if TYPE_CHECKING:
    from builder.deep.model import NeuralModel

# What sets the shape of a compiled step comes from short lists, so that compiling is shared.
TRAINING: Final[Space] = {
    "activation": Choice(("relu", "elu", "tanh")),
    "batch_norm": Choice((False, True)),
    "dropout": Choice((0.0, 0.2, 0.4)),
    "l1": Choice((0.0, 1e-5)),
    "l2": Choice((0.0, 1e-4)),
    "optimizer": Choice(("adam", "rmsprop", "sgd")),
    "learning_rate": LogUniform(5e-4, 1e-2),
    "batch_size": Choice((64, 256)),
    "epochs": Choice((40,)),
    "class_weight": Choice((None, "balanced")),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network's inputs and output; None where it has no such input."""

    features: int | None
    length: int | None
    channels: int | None
    width: int


Params = Mapping[str, Any]  # as the space has them
Network = Callable[[Shape, Params], Any]


@dataclass(frozen=True, slots=True)
class NeuralFamily:
    """A kind of network: ``build`` puts one together for a shape and hyperparameters."""

    name: str
    uses: frozenset[Use]
    space: Space
    build: Network
    task: Task = "classify"
    resource: str = "epochs"
    gpu: bool = True

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
        budget: float = 1.0,
        resume: Model | None = None,  # noqa: ARG002 - an optimiser's state is not kept
    ) -> Model:
        """Train, at most for a share of the epochs.

        Raises
        ------
        FloatingPointError
            The loss is not finite.
        MachineError
            Keras is not installed.
        """
        model = self.network(shape_of(inputs, target.width), params, seed=seed, threads=threads)
        model.scale(inputs)
        settings: Params = params
        epochs = share_of(settings["epochs"], budget)
        return model.train(inputs, target, params=settings, seed=seed, epochs=epochs)

    def network(
        self, shape: Shape, params: Mapping[str, Param], *, seed: int = 0, threads: int = 1
    ) -> NeuralModel:
        """Put together an untrained network.

        Raises
        ------
        MachineError
            Keras is not installed.
        """
        from builder.deep.backend import load_keras

        load_keras(threads).utils.set_random_seed(seed)
        from builder.deep.model import NeuralModel

        kind = (self.name, shape, tuple(sorted(params.items())))
        return NeuralModel(self.build(shape, params), shape.width, kind=kind)


def shape_of(inputs: Inputs, width: int) -> Shape:
    """The shape of a network for these inputs and so many classes."""
    columns = None if inputs.features is None else int(inputs.features.shape[1])
    length, channels = None, None
    if inputs.sequences is not None:
        length, channels = inputs.sequences.shape[1:]
    return Shape(columns, length, channels, width)
