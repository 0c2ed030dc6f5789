"""A forest of the classes it was shown, guarded by autoencoders of what is normal.

For detectors that must also find what nobody showed them. Class 0 is what is normal: autoencoders
say how unusual a flow is among its rows, and the forest's answer is blended with that: a flow is
normal as far as both find it so (a logarithmic opinion pool, Genest and Zidek 1986). The point of
decision is the false-alarm rate on normal rows that neither of them saw, so it does not depend
on how common, or of which kinds, the attacks of the training rows were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from builder.autoencoder import (
    Autoencoder,
    Doubles,
    Nodes,
    autoencoder_nodes,
    learn_autoencoder,
)
from builder.families.base import Inputs, Model, Target, Task, Use
from builder.families.trees import TreesModel
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Choice, IntRange, Space

if TYPE_CHECKING:
    from onnx import ModelProto

HELD_OUT: Final = 0.2  # of the normal rows, to place the decision
LEAST_HELD_OUT: Final = 10
CERTAIN: Final = 1e-4  # no point of decision is nearer to 0 or 1
# Units of the outermost and of the narrowest layer. How wrong a row comes back depends on them and
# on the draw; the mean of two depends less on either.
WIDTHS: Final = ((64, 8), (128, 16))
LEAST: Final = 0.01  # a forest's share of class 0 that counts: roots of less would be of rounding

SPACE: Final[Space] = {
    "n_estimators": Choice((100, 150, 200)),
    "max_depth": IntRange(8, 24),
    "min_samples_leaf": IntRange(1, 8, log=True),
    "max_features": Choice(("sqrt", 0.3)),
    "guard": Choice((0.25, 0.5, 0.75)),
    "false_alarms": Choice((0.005, 0.01, 0.02, 0.05)),
}


@dataclass(frozen=True, slots=True)
class GuardedModel:
    """A fitted forest and its guards; without any where normal rows are too few."""

    forest: TreesModel
    normal: tuple[Autoencoder, ...]
    guard: float
    decision: float  # the blended probability of not being normal at which the answer turns

    def predict(self, inputs: Inputs) -> Floats:
        """Probabilities: float32 [n, width]."""
        shares = self.forest.predict(inputs)
        if not self.normal:
            return shares
        return decided(blended(shares, unusual(self.normal, inputs.table()), self.guard), self)

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        from onnx import load_from_string

        graph = self.forest.export()
        return guarded_graph(load_from_string(graph), self) if self.normal else graph


def unusual(normal: tuple[Autoencoder, ...], rows: Floats) -> Doubles:
    """How unusual the autoencoders find rows [n, columns], at the mean: [n] in [0, 1]."""
    return np.asarray(np.mean([each.unusual(rows) for each in normal], axis=0), dtype=np.float64)


def blended(shares: Floats, strangeness: Doubles, guard: float) -> Doubles:
    """Mix a forest's answer [n, width] with how unusual each row [n] is: [n, width].

    What is unusual is of the class, other than 0, that the forest finds likeliest.
    """
    known = shares.astype(np.float64)
    strange = known[:, 1:] + CERTAIN
    strange /= strange.sum(axis=1, keepdims=True)
    trusted = (np.clip(known[:, 0], 0, 1) + LEAST) / (1 + LEAST)
    normal = (trusted ** (1 - guard) * (1 - strangeness) ** guard)[:, None]
    return np.concatenate([normal, (1 - normal) * strange], axis=1)


def decided(mixed: Doubles, model: GuardedModel) -> Floats:
    """Shift the odds so that one half is the point of decision: float32 [n, width]."""
    weights = np.full(mixed.shape[1], 1 - model.decision)
    weights[0] = model.decision
    shifted = mixed * weights
    answer: Floats = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return answer


def guarded_graph(model: ModelProto, guarded: GuardedModel) -> bytes:
    """The forest's graph with the guards beside it and the decision behind."""
    from onnx import TensorProto, checker

    for made in model.graph.node:
        made.output[:] = ["shares" if name == "probabilities" else name for name in made.output]
    add = Nodes(model.graph)
    one, last = add.value("one", 1.0), add.value("last", [1], np.int64)
    found = [
        autoencoder_nodes(Nodes(model.graph, f"guard_{number}"), normal, last)
        for number, normal in enumerate(guarded.normal)
    ]
    strangeness = add.node("Div", add.node("Sum", *found), add.value("guards", len(found)))
    known = add.node("Cast", "shares", to=TensorProto.DOUBLE)
    width = guarded.forest.width
    first = add.node("Slice", known, last, add.value("end", [width], np.int64), last)
    strange = add.node("Add", first, add.value("certain", CERTAIN))
    strange = add.node("Div", strange, add.node("ReduceSum", strange, last, keepdims=1))
    share = add.node("Slice", known, add.value("start", [0], np.int64), last, last)
    bounded = add.node("Clip", share, add.value("none", 0.0), add.value("all", 1.0))
    raised = add.node("Add", bounded, add.value("least", LEAST))
    trusted = add.node("Div", raised, add.value("most", 1 + LEAST))
    agreed = add.node(
        "Mul",
        add.node("Pow", trusted, add.value("forest", 1 - guarded.guard)),
        add.node("Pow", add.node("Sub", one, strangeness), add.value("guard", guarded.guard)),
    )
    rest = add.node("Mul", add.node("Sub", one, agreed), strange)
    mixed = add.node("Concat", agreed, rest, axis=1)
    odds = [guarded.decision, *[1 - guarded.decision] * (width - 1)]
    shifted = add.node("Mul", mixed, add.value("odds", odds))
    final = add.node("Div", shifted, add.node("ReduceSum", shifted, last, keepdims=1))
    add.node("Cast", final, output="probabilities", to=TensorProto.FLOAT)
    checker.check_model(model)
    return bytes(model.SerializeToString())


class GuardedForest:
    """A forest beside autoencoders of class 0, decided by a false-alarm rate."""

    name: Final = "guarded_forest"
    task: Final[Task] = "classify"
    uses: Final[frozenset[Use]] = frozenset({"features"})
    space: Final[Space] = SPACE

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Hold normal rows out, fit both on the others, and decide on those."""
        from sklearn.ensemble import RandomForestClassifier

        rows, classes = inputs.table(), target.values
        names = ("n_estimators", "max_depth", "min_samples_leaf", "max_features")
        settings = {name: params[name] for name in names}
        forest = RandomForestClassifier(**settings, random_state=seed, n_jobs=threads)
        normal = np.random.default_rng(seed).permutation(np.flatnonzero(classes == 0))
        held = normal[: int(HELD_OUT * len(normal))]
        lonely = len(normal) == len(classes)
        if len(held) < LEAST_HELD_OUT or lonely:
            held = normal[:0]
        kept = np.setdiff1d(np.arange(len(classes)), held)
        forest.fit(rows[kept], classes[kept])
        forest.set_params(n_jobs=1)
        trees = TreesModel(forest, target.width)
        if not len(held):
            return GuardedModel(trees, (), 0.0, 0.5)
        shown = rows[np.setdiff1d(normal, held)]
        learnt = tuple(
            learn_autoencoder(shown, hidden=_hidden(*width), seed=seed).placed(rows[held])
            for width in WIDTHS
        )
        return _decide(trees, learnt, rows[held], params)


def _hidden(units: int, narrow: int) -> tuple[int, ...]:
    return units, units // 2, narrow, units // 2, units


def _decide(
    trees: TreesModel,
    normal: tuple[Autoencoder, ...],
    held: Floats,
    params: Mapping[str, Param],
) -> Model:
    """Place the decision by normal rows that neither part saw."""
    guard = float(params["guard"] or 0)
    mixed = blended(trees.predict(Inputs(held)), unusual(normal, held), guard)
    alarm = np.quantile(1 - mixed[:, 0], 1 - float(params["false_alarms"] or 0))
    return GuardedModel(trees, normal, guard, float(np.clip(alarm, CERTAIN, 1 - CERTAIN)))


FAMILY: Final = GuardedForest()
