"""An objective and families for tests of the search, quick enough to be tried hundreds of times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from builder.families import Inputs, Target, families
from builder.folds import Fold
from builder.objective import Objective, Trainer
from builder.space import Choice, IntRange, Uniform
from topologies.errors import MissingExtraError


class Awkward:
    """A family that fails as the parameters say."""

    name = "awkward"
    task = "classify"
    uses = frozenset({"features"})
    space = {"fault": Choice((None, "value", "nan"))}  # noqa: RUF012

    def fit(self, inputs, target, *, params, seed, threads):
        if params["fault"] == "value":
            raise ValueError("no such solver")
        if params["fault"] == "library":
            raise MissingExtraError("keras", extra="deep")
        return Constant(params["fault"], target.width)


class Constant:
    def __init__(self, fault, width):
        self.value = np.nan if fault == "nan" else 1 / width
        self.width = width

    def predict(self, inputs):
        return np.full((len(inputs), self.width), self.value, dtype=np.float32)


class Guess:
    """Right for a share of the rows: the closer to the best place and the longer the training."""

    name = "guess"
    task = "classify"
    uses = frozenset({"features"})
    space = {"place": Uniform(0.0, 1.0), "step": IntRange(1, 9)}  # noqa: RUF012
    resource = "epochs"

    def fit(self, inputs, target, *, params, seed, threads, budget=1.0, resume=None):
        return Right(
            (1 - abs(params["place"] - 0.7)) * budget**0.1, target.width, params | {"b": budget}
        )


class Right:
    """Answers the truth, which is the first column, for a share of the rows."""

    def __init__(self, share, width, told):
        self.share, self.width, self.told = share, width, told

    def predict(self, inputs):
        truth = inputs.features[:, 0].astype(int)
        wrong = np.arange(len(truth)) >= self.share * len(truth)
        return np.eye(self.width, dtype=np.float32)[(truth + wrong) % self.width]


def objective(names=("awkward",), rows=60, **changes) -> Objective:
    """The families by name on noisy rows of two classes, in three folds."""
    rng = np.random.default_rng(0)
    classes = np.arange(rows) % 2
    noisy = rng.normal(size=(rows, 3)) + classes[:, None]
    table = np.column_stack([classes, noisy])[:, 0 if "guess" in names else 1 :]
    known = {"awkward": Awkward(), "guess": Guess()} | dict(families())
    number = np.arange(rows)
    folds = tuple(Fold(number[number % 3 != k], number[number % 3 == k]) for k in range(3))
    made = Objective(
        Trainer({name: known[name] for name in names}, "constant", 1),
        Inputs(table.astype(np.float32)),
        Target("classify", classes, 2),
        folds,
        "f1_macro",
    )
    return replace(made, **changes)


def untimed(trials):
    """Trials without what differs from run to run."""
    return [replace(trial, seconds=0.0) for trial in trials]
