"""How far a model carries: what a random split would feign, and what a topology unseen costs.

The winner's kind of model is trained on other rows and judged on flows of the test run. Nothing is
chosen by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from builder.data import Data, Part
from builder.evaluation.intervals import intervals, resampled
from builder.evaluation.records import Carried, Interval
from builder.evaluation.variants import Late
from builder.families.base import Inputs, Ints, Target
from builder.metrics import METRICS, confusion
from builder.objective import Candidate, Fitted, Objective


def carrying(
    data: Data, objective: Objective, candidate: Candidate, usual: Fitted, *, late: Late, seed: int
) -> Iterator[Carried]:
    """Macro-F1 by a random split, and on each topology without having trained on it.

    ``usual`` is the winner as it was trained. On a topology only the classes are judged that the
    others have, too. A dataset of one topology has the random split only; a table of somebody
    else's, which names no runs, nothing. Ends early when it is ``late``.
    """
    names = _topologies(data)
    if not names:
        return
    judge = _Judge(data, objective, candidate, seed)
    if not late():
        yield judge.random_split(judge.score(usual, np.arange(len(data.test)))[0])
    train, test = _of_rows(data.train, names), _of_rows(data.test, names)
    for name in sorted(set(train.tolist())):
        others = np.flatnonzero(train != name)
        known = np.isin(data.test.classes, data.train.classes[others])
        rows = np.flatnonzero((test == name) & known)
        if not len(rows):
            continue
        if late():
            return
        yield judge.without(name, others, rows, judge.score(usual, rows)[0])


class _Judge:
    """Trains the candidate on some rows and judges it on others."""

    def __init__(self, data: Data, objective: Objective, candidate: Candidate, seed: int) -> None:
        self._data, self._objective = data, objective
        self._candidate, self._seed = candidate, seed

    def random_split(self, usual: float) -> Carried:
        """Train and test rows mixed, and dealt anew class by class, as many of each as before."""
        train, test = self._data.train, self._data.test
        rng = np.random.default_rng(self._seed)
        classes = np.concatenate([train.classes, test.classes])
        share = len(train) / len(classes)
        mixed = [rng.permutation(np.flatnonzero(classes == k)) for k in np.unique(classes)]
        learnt = np.concatenate([rows[: max(1, round(share * len(rows)))] for rows in mixed])
        judged = np.setdiff1d(np.arange(len(classes)), learnt)
        inputs = _joined(train.inputs, test.inputs)
        groups = np.concatenate([train.groups, test.groups])
        fitted = self._fit(inputs.take(learnt), classes[learnt], groups[learnt])
        answer = _answers(fitted, inputs.take(judged))
        score, between = self._summed(classes[judged], answer, groups[judged])
        return Carried(None, len(judged), score, between, usual)

    def without(self, name: str, others: Ints, rows: Ints, usual: float) -> Carried:
        """Trained on the ``others`` of the training rows, judged on these of the test rows."""
        train = self._data.train
        fitted = self._fit(train.inputs.take(others), train.classes[others], train.groups[others])
        return Carried(name, len(rows), *self.score(fitted, rows), usual)

    def score(self, fitted: Fitted, rows: Ints) -> tuple[float, Interval]:
        """Macro-F1 on these test rows, over their classes, with its interval."""
        test = self._data.test
        answer = _answers(fitted, test.inputs.take(rows))
        return self._summed(test.classes[rows], answer, test.groups[rows])

    def _fit(self, inputs: Inputs, classes: Ints, groups: Ints) -> Fitted:
        target = Target("classify", classes, len(self._data.labels), groups)
        return self._objective.trainer.fit(self._candidate, inputs, target)

    def _summed(self, truth: Ints, answer: Ints, groups: Ints) -> tuple[float, Interval]:
        labels = self._data.labels
        tables = resampled(truth, answer, groups, len(labels), seed=self._seed)
        score = METRICS["f1_macro"](confusion(truth, answer, len(labels)))
        return round(score, 6), intervals(tables, labels)["f1_macro"]


def _answers(fitted: Fitted, raw: Inputs) -> Ints:
    return np.asarray(fitted.model.predict(fitted.prepare(raw)).argmax(axis=1), dtype=np.int64)


def _topologies(data: Data) -> dict[str, str]:
    """The topology of each run; empty where the table is not ours."""
    file = Path(data.path) / "dataset.json"
    if data.table is not None or not file.is_file():
        return {}
    runs = json.loads(file.read_bytes()).get("runs", [])
    return {run["run_id"]: run["topology"] for run in runs if "topology" in run}


def _of_rows(part: Part, names: dict[str, str]) -> np.ndarray:
    return np.array([names.get(run, "") for run in part.runs], dtype=object)[part.units["run"]]


def _joined(one: Inputs, other: Inputs) -> Inputs:
    pairs = ((one.features, other.features), (one.sequences, other.sequences))
    return Inputs(*(None if a is None or b is None else np.concatenate([a, b]) for a, b in pairs))
