"""NSL-KDD, official split, by the command that a user would give: what is picked, and how good.

    python -m benchmarks.nsl_kdd --data ../shared/data/nsl_kdd --seeds 3

Trains on KDDTrain+ (20 %), judges on KDDTest+, of whose 37 kinds of attack 18 are new. Folds of
the validation hold whole kinds of attack, so the search, too, is judged on kinds that its models
were not shown. Nothing looks at KDDTest+ before the search has ended. Intervals are 95 %, by
bootstrap over the test rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score, roc_auc_score

from analyser.foreign import read_flows
from audit import ForeignTable, load_foreign
from benchmarks.timing import publish
from sta_registry import load_sta

FAMILIES = "random_forest,extra_trees,xgboost,guarded_forest"
DRAWS = 200


class Score(NamedTuple):
    """A measure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def main() -> None:
    """Train with each seed, judge, publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--metric", default="f1_macro", help="what validation maximises")
    options.add_argument("--families", default=FAMILIES)
    options.add_argument("--serial", action="store_true")
    asked = options.parse_args()
    train, test = asked.data / "KDDTrain+_20Percent.txt.gz", asked.data / "KDDTest+.txt.gz"
    truth = load_foreign(ForeignTable((test,), mapping="nsl-kdd")).data.label != "normal"
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            out = Path(folder) / str(seed)
            training = [
                *(sys.executable, "-m", "gsta", "-q", "train", "--detect"),
                *("--flows", str(train), "--test-flows", str(test), "--mapping", "nsl-kdd"),
                *("--group-column", "class", "--families", asked.families, "--seed", str(seed)),
                *("--trials", str(asked.trials), "--time-budget", "3600", "--out", str(out)),
                *("--metric", asked.metric),
            ]
            subprocess.run([*training, *(["--serial"] if asked.serial else [])], check=True)
            rows.append([seed, *_judged(out, test, truth)])
    columns = ["seed", "picked", "validation", "F1 of attacks", "macro-F1", "AUROC", "false alarms"]
    command = f"python -m benchmarks.nsl_kdd --seeds {asked.seeds} --trials {asked.trials}"
    command += f" --metric {asked.metric} --families {asked.families}"
    publish("NSL-KDD, official split, binary", command, columns, rows)


def _judged(out: Path, test: Path, truth: npt.NDArray[np.bool_]) -> list[object]:
    sta = load_sta(out)
    chance = sta.predict(read_flows(test, sta)).probabilities[:, 1]
    manifest = json.loads((out / "sta.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(DRAWS)]
    alarm = chance >= 0.5
    return [
        manifest["provenance"]["family"],
        f"{manifest['quality']['validation_score']:.4f}",
        _score(lambda n: f1_score(truth[n], alarm[n]), draws),
        _score(lambda n: f1_score(truth[n], alarm[n], average="macro"), draws),
        _score(lambda n: roc_auc_score(truth[n], chance[n]), draws),
        f"{alarm[~truth].mean():.4f}",
    ]


def _score(measure, draws) -> Score:  # type: ignore[no-untyped-def]
    every = np.arange(len(draws[0]))
    low, high = np.quantile([measure(draw) for draw in draws], [0.025, 0.975])
    return Score(float(measure(every)), float(low), float(high))


if __name__ == "__main__":
    main()
