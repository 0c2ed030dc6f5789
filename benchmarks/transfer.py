"""Transfer learning: labelled flows and processor time to the F1 of training from scratch.

    python -m benchmarks.transfer --first DATASET --second DATASET --family mlp

Trains the family on the first dataset; then, with more and more training activities of the second,
once from scratch and once from the first's network with all but the last layers frozen. Both are
judged on the second's test runs. Needs the extra `deep`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import publish
from builder import BuildConfig, FeatureSelection
from builder.data import Data, read_dataset
from builder.families import Target, families
from builder.folds import Ints
from builder.metrics import evaluate
from builder.objective import Candidate, Fitted, Trainer
from builder.space import draw
from builder.transfer import Origin, Transferred

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def main() -> None:
    """Train, go on, publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--first", type=Path, required=True)
    options.add_argument("--second", type=Path, required=True)
    options.add_argument("--family", default="mlp")
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    config = BuildConfig(families=(asked.family,), features=FeatureSelection(set="flow"))
    first, second = (
        read_dataset(path, config, accept_unreleased=True) for path in (asked.first, asked.second)
    )
    family = families()[asked.family]
    params = draw(family.space, np.random.default_rng(asked.seed))
    candidate = Candidate(0, asked.family, params, asked.seed)
    scratch = Trainer({asked.family: family}, "constant", 1)
    fitted = _fit(scratch, candidate, first, np.arange(len(first.train)))
    names = tuple(field.name for field in first.features)
    origin = Origin(
        "first", asked.family, params, fitted.model.export(), fitted.steps, names, sequences=False
    )
    origin.require(second)
    begun = Transferred(origin, "all-but-last")
    further = Trainer({begun.name: begun}, "constant", 1, steps=fitted.steps)
    rows: list[list[object]] = []
    for share in SHARES:
        chosen = _share(second, share, asked.seed)
        row: list[object] = [len(chosen)]
        for trainer in (scratch, further):
            start = time.process_time()
            model = _fit(trainer, candidate, second, chosen)
            row += [f"{time.process_time() - start:.1f}", f"{_f1(model, second):.4f}"]
        rows.append(row)
    columns = ["flows", "scratch, CPU s", "macro-F1", "transferred, CPU s", "macro-F1"]
    command = f"python -m benchmarks.transfer --family {asked.family} --seed {asked.seed}"
    publish(f"Transfer of {asked.first.name} to {asked.second.name}", command, columns, rows)


def _share(data: Data, share: float, seed: int) -> Ints:
    """Training rows of this share of the activities."""
    groups = np.unique(data.train.groups)
    rng = np.random.default_rng(seed)
    few = rng.permutation(groups)[: max(1, round(share * len(groups)))]
    return np.flatnonzero(np.isin(data.train.groups, few)).astype(np.int64)


def _fit(trainer: Trainer, candidate: Candidate, data: Data, rows: Ints) -> Fitted:
    target = Target("classify", data.train.classes, len(data.labels), data.train.groups)
    return trainer.fit(candidate, data.train.inputs.take(rows), target.take(rows))


def _f1(fitted: Fitted, data: Data) -> float:
    answer = fitted.model.predict(fitted.prepare(data.test.inputs)).argmax(axis=1)
    return evaluate(data.test.classes, answer.astype(np.int64), data.labels).f1_macro


if __name__ == "__main__":
    main()
