"""Transfer learning: labelled flows and processor time to the F1 of training from scratch.

    python -m benchmarks.transfer --dataset DATASET --family mlp --seeds 3

Trains the family on the training runs, then goes to the dataset's unseen topology: of its
activities one half may be learnt from, the other judges. With more and more of them it trains from
scratch and from the first model: a network with all but the last layers frozen, and with nothing
frozen; trees with each share that the old ones may keep. All have the same hyperparameters. The
last lines tell how many labelled flows take each to some of the best macro-F1 from scratch.
Networks need the extra `deep`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.timing import publish
from builder import BuildConfig, FeatureSelection
from builder.beginning import beginning
from builder.data import Data, Part, read_dataset
from builder.families import Target, families
from builder.folds import Ints
from builder.metrics import evaluate
from builder.objective import Candidate, Fitted, Trainer
from builder.origin import Origin
from builder.result import Param
from builder.space import draw
from builder.transfer import Freeze
from builder.warm_trees import KEPT

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
NEAR = (0.8, 0.9, 0.95)  # of the best F1 from scratch
FREEZES: tuple[Freeze, ...] = ("all-but-last", "nothing")
Curve = npt.NDArray[np.float64]


def main() -> None:
    """Train, go on, publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dataset", type=Path, required=True)
    options.add_argument("--family", default="mlp")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--shares", type=float, nargs="+", default=SHARES)
    asked = options.parse_args()
    config = BuildConfig(families=(asked.family,), features=FeatureSelection(set="flow"))
    data = read_dataset(asked.dataset, config, accept_unreleased=True)
    if data.unseen is None:
        raise SystemExit(f"{asked.dataset} has no runs of an unseen topology")
    curves = np.mean(
        [
            _curves(data, data.unseen, asked.family, asked.shares, seed)
            for seed in range(asked.seeds)
        ],
        axis=0,
    )
    rows: list[list[object]] = [[round(n), *rest] for n, *rest in curves.tolist()]
    for near in NEAR:
        aim = near * curves[:, 2].max()
        needed = [_flows_to(aim, curves[:, 0], f1) for f1 in curves[:, 2::2].T]
        rows.append([f"flows to {aim:.3f}", *(cell for one in needed for cell in ("", one))])
    ways = ("scratch", *_ways(asked.family))
    columns = ["flows", *(f"{way}, {what}" for way in ways for what in ("CPU s", "macro-F1"))]
    command = f"python -m benchmarks.transfer --family {asked.family} --seeds {asked.seeds}"
    publish(f"Transfer of {asked.dataset.name} to its unseen topology", command, columns, rows)


def _ways(family: str) -> dict[str, tuple[Freeze, dict[str, Param]]]:
    """The ways to go on: what is frozen of a network, or what old trees keep of the answer."""
    if family not in KEPT:
        return {f"{freeze} frozen": (freeze, {}) for freeze in FREEZES}
    shares = KEPT[family].values
    return {f"old trees x {share}": ("nothing", {"kept": share}) for share in shares}


def _curves(data: Data, place: Part, family: str, shares: list[float], seed: int) -> Curve:
    """Of each share: flows, then seconds and F1 of each way."""
    known = families()[family]
    params = draw(known.space, np.random.default_rng(seed))
    candidate = Candidate(0, family, params, seed)
    scratch = Trainer({family: known}, "constant", 1)
    first = _fit(scratch, candidate, data, data.train, np.arange(len(data.train)))
    further = [
        (_further(data, first, params, freeze), replace(candidate, params=params | kept))
        for freeze, kept in _ways(family).values()
    ]
    learn, judge = _halves(place, seed)
    found = []
    for share in shares:
        chosen = learn[np.isin(place.groups[learn], _some(place.groups[learn], share, seed))]
        row = [float(len(chosen))]
        for trainer, drawn in ((scratch, candidate), *further):
            start = time.process_time()
            if len(chosen):
                fitted = _fit(trainer, drawn, data, place, chosen)
            row.append(time.process_time() - start)
            there = len(chosen) or trainer is not scratch
            row.append(_f1(fitted if len(chosen) else first, data, place, judge) if there else 0.0)
        found.append(row)
    return np.array(found)


def _further(data: Data, first: Fitted, params: dict[str, Param], freeze: Freeze) -> Trainer:
    names = tuple(field.name for field in data.features)
    origin = Origin(
        "first",
        first.family.name,
        params,
        first.model.export(),
        first.steps,
        names,
        sequences=False,
        labels=data.labels,
    )
    begun = beginning(origin, freeze).towards(data.labels)
    return Trainer({begun.name: begun}, "constant", 1, steps=first.steps)


def _halves(place: Part, seed: int) -> tuple[Ints, Ints]:
    """Rows to learn from and rows to judge on: half of the activities of each class."""
    rng = np.random.default_rng(seed)
    groups, first = np.unique(place.groups, return_index=True)
    order = rng.permutation(len(groups))
    order = order[np.argsort(place.classes[first][order], kind="stable")]
    learnt = np.isin(place.groups, groups[order[::2]])
    return np.flatnonzero(learnt), np.flatnonzero(~learnt)


def _some(groups: Ints, share: float, seed: int) -> Ints:
    """This share of the groups; a larger share has those of a smaller one."""
    every = np.random.default_rng(seed).permutation(np.unique(groups))
    return every[: int(np.ceil(share * len(every)))]


def _fit(trainer: Trainer, candidate: Candidate, data: Data, part: Part, rows: Ints) -> Fitted:
    target = Target("classify", part.classes, len(data.labels), part.groups)
    return trainer.fit(candidate, part.inputs.take(rows), target.take(rows))


def _f1(fitted: Fitted, data: Data, part: Part, rows: Ints) -> float:
    answer = fitted.model.predict(fitted.prepare(part.inputs.take(rows))).argmax(axis=1)
    return evaluate(part.classes[rows], answer.astype(np.int64), data.labels).f1_macro


def _flows_to(aim: float, flows: Curve, f1: Curve) -> str:
    """Labelled flows after which a curve stays above the aim, on the line between two points."""
    below = np.flatnonzero(f1 < aim)
    if not len(below):
        return f"{flows[0]:.0f}"
    last = int(below[-1])
    if last + 1 == len(f1):
        return "more"
    part = (aim - f1[last]) / (f1[last + 1] - f1[last])
    return f"{flows[last] + part * (flows[last + 1] - flows[last]):.0f}"


if __name__ == "__main__":
    main()
