"""Trees that go on: those of a packaged analyser stay, and more are grown in a new scenario.

A forest answers with a share of the old trees and a share of the new ones; boosted trees correct
the sum of the old ones. Everything is read from the ONNX graph of the analyser.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from builder.families import families
from builder.families.base import Inputs, Model, Target, Task, Use
from builder.grafting import (
    DROPPED,
    ensemble_of,
    is_forest,
    joined,
    shares_of,
    towards,
    weighed,
    written,
)
from builder.origin import Origin
from builder.preprocess import Floats
from builder.result import Param
from builder.space import Choice, Space
from builder.traversal import Ensemble
from topologies.errors import InputError, Problem

SHARES: Final = Choice((0.1, 0.25, 0.5, 0.75))
# What the old trees may keep, of each family that can go on: of a forest's answer, of the margins.
KEPT: Final[Mapping[str, Choice]] = {
    "extra_trees": SHARES,
    "random_forest": SHARES,
    "xgboost": Choice((0.5, 0.75, 1.0)),
}


@dataclass(frozen=True, slots=True)
class WarmModel:
    """Old and new trees in one ensemble."""

    ensemble: Ensemble
    columns: int

    def predict(self, inputs: Inputs) -> Floats:
        """Probability of each class: float32 [n, width]."""
        answer = self.ensemble.probabilities(inputs.table())
        return shares_of(answer) if is_forest(self.ensemble) else answer

    def export(self) -> bytes:
        """Serialise as an ONNX graph."""
        return written(self.ensemble, columns=self.columns)


class WarmTrees:
    """Trees whose growing begins with those of another analyser."""

    task: Final[Task] = "classify"

    def __init__(self, origin: Origin, labels: tuple[str, ...] = ()) -> None:
        self._family: Any = families()[origin.family]
        self.origin, self._labels = origin, labels
        self.name = origin.family
        self.uses: frozenset[Use] = self._family.uses

    def towards(self, labels: tuple[str, ...]) -> WarmTrees:
        """The same, for these classes."""
        return WarmTrees(self.origin, labels)

    @property
    def digest(self) -> str:
        """Of the trees to begin with."""
        return hashlib.sha256(b"trees" + self.origin.onnx).hexdigest()

    @property
    def space(self) -> Space:
        """How the new trees are grown, and how much the old ones count."""
        return {**self._family.space, "kept": KEPT[self.name]}

    def fit(
        self,
        inputs: Inputs,
        target: Target,
        *,
        params: Mapping[str, Param],
        seed: int,
        threads: int,
    ) -> Model:
        """Grow the new trees, behind or beside the old ones."""
        settings = dict(params)
        kept = float(settings.pop("kept") or 0)
        old = weighed(self._old(target.width), kept)
        grow: dict[str, Any] = {"params": settings, "seed": seed, "threads": threads}
        if not is_forest(old):
            grow["margins"] = old.scores(inputs.table())
        new, classes = _trees(self._family.fit(inputs, target, **grow).export())
        new = towards(new, classes, target.width)
        if is_forest(old):
            new = weighed(new, 1 - kept)
        else:
            new = replace(new, base=np.zeros_like(new.base))  # boosting began with the margins
        return WarmModel(joined(old, new), inputs.table().shape[1])

    @cached_property
    def _grown(self) -> tuple[Ensemble, tuple[int, ...]]:
        return _trees(self.origin.onnx)  # once for all trials and folds of a process

    def _old(self, width: int) -> Ensemble:
        ensemble, classes = self._grown
        names = self.origin.labels
        places = [
            self._labels.index(names[number]) if names[number] in self._labels else DROPPED
            for number in classes
        ]
        return towards(ensemble, places, width)


def _trees(graph: bytes) -> tuple[Ensemble, tuple[int, ...]]:
    found = ensemble_of(graph)
    if found is None:
        raise InputError(
            Problem("model.onnx", "", "one ensemble of trees", "none", "train from scratch")
        )
    return found
