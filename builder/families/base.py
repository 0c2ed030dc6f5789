"""The contract of a model family: what a classifier, a detector and a forecaster have in common.

A family is one file of this package that names its object ``FAMILY``; nothing else has to know
it. Heavy libraries are imported inside its functions.

==========  ==========================================  ==========================================
task        ``target.values``                           ``Model.predict`` and the graph's output
==========  ==========================================  ==========================================
classify    int64 [n], class numbers below ``width``    ``probabilities`` float32 [n, width]
detect      int64 [n], 0 normal, 1 anomalous            ``scores`` float32 [n, 1], high: anomalous
forecast    float32 [n, width], future windows          ``forecast`` float32 [n, width]
==========  ==========================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats
from builder.result import Param
from builder.space import Space

Ints = npt.NDArray[np.int64]
Task = Literal["classify", "detect", "forecast"]
Use = Literal["features", "sequences"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What models see of n flows; a family reads what it ``uses``.

    ``features`` is float32 [n, f], preprocessed; ``sequences`` float32 [n, length, channels], raw,
    zero padded. At least one is there.
    """

    features: Floats | None = None
    sequences: Floats | None = None

    def __len__(self) -> int:
        first = self.features if self.features is not None else self.sequences
        return 0 if first is None else len(first)

    def take(self, rows: Ints) -> Inputs:
        """These rows, copied."""
        return Inputs(
            None if self.features is None else self.features[rows],
            None if self.sequences is None else self.sequences[rows],
        )

    def only(self, uses: frozenset[Use]) -> Inputs:
        """Without what a family does not use."""
        return Inputs(
            self.features if "features" in uses else None,
            self.sequences if "sequences" in uses else None,
        )

    def table(self) -> Floats:
        """The features of a family that uses them."""
        if self.features is None:
            raise ValueError("this family uses features, and there are none")
        return self.features


@dataclass(frozen=True, slots=True)
class Target:
    """What to learn; see the table above.

    ``groups`` int64 [n] names the activity of each row, for a family that holds some rows back to
    know when to stop: no activity may be on both sides. None: each row is its own.
    """

    task: Task
    values: Ints | Floats
    width: int
    groups: Ints | None = None

    def take(self, rows: Ints) -> Target:
        """These rows, copied."""
        groups = None if self.groups is None else self.groups[rows]
        return Target(self.task, self.values[rows], self.width, groups)


class Model(Protocol):
    """A fitted model."""

    def predict(self, inputs: Inputs) -> Floats:
        """Answer for each row; for a classifier, probabilities that sum to 1."""
        ...

    def export(self) -> bytes:
        """Serialise as an ONNX graph that answers as :meth:`predict` does, within 1e-5.

        Its inputs are named and shaped as the fields of :class:`Inputs` that the family uses.
        """
        ...


@runtime_checkable
class Family(Protocol):
    """A kind of model and the hyperparameters to search."""

    @property
    def name(self) -> str:
        """As written in a spec; also the name of the file."""
        ...

    @property
    def task(self) -> Task:
        """What it can learn."""
        ...

    @property
    def uses(self) -> frozenset[Use]:
        """The inputs that it reads."""
        ...

    @property
    def space(self) -> Space:
        """The domain of the search."""
        ...

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Train. The same arguments give the same model; a class may have no row at all."""
        ...


@runtime_checkable
class Gradual(Family, Protocol):
    """A family whose training can end early; a search by halving starts its candidates small.

    An optional part of the contract: a family without it is always trained in full.
    """

    @property
    def resource(self) -> str:
        """What training spends, in the plural: ``epochs``, ``trees``, ``rounds``."""
        ...

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
        budget: float = 1.0,
        resume: Model | None = None,
    ) -> Model:
        """Train with a share of the full resource, ``budget`` in (0, 1], at least one step.

        ``resume`` is what the same arguments gave for a smaller budget. It may save time but
        never changes the model: a worker that lost it trains from the start. It may be ignored;
        it is not to be used afterwards.
        """
        ...


def wants_gpu(family: Family) -> bool:
    """Whether a family trains on a GPU where there is one; it says so by ``gpu = True``."""
    return bool(getattr(family, "gpu", False))


def share_of(steps: int, budget: float) -> int:
    """How many of the full ``steps`` a budget in (0, 1] allows: at least one."""
    return max(1, round(steps * budget))


def class_weights(classes: Ints, width: int) -> npt.NDArray[np.float64]:
    """Weight of each row [n] that makes every class that occurs count the same; the mean is 1."""
    counts = np.bincount(classes, minlength=width)
    present = np.count_nonzero(counts)
    weight: npt.NDArray[np.float64] = (len(classes) / present / np.maximum(counts, 1))[classes]
    return weight
