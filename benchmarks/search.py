"""The search against its bars: two workers against one, its cost per trial, and scikit-learn's.

    python -m benchmarks.search workers            # trials a minute with 1 and 2 workers
    python -m benchmarks.search overhead           # seconds per trial that does nothing
    python -m benchmarks.search sklearn            # RandomizedSearchCV on the same space
    python -m benchmarks.search halving FLOWS.parquet LABELS.parquet [--families lstm,cnn_lstm]

Run it on a quiet machine: seconds are on the clock; CPU seconds, of all processes, bear company.
``halving`` wants a flow table with packet sequences and the labels that ``gsta tag`` wrote for it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from benchmarks.timing import publish
from builder.families import families
from builder.families.base import Family, Inputs, Model, Target
from builder.folds import plan_validation
from builder.heuristics import HEURISTICS, Halving, Heuristic, RandomSearch, drawn
from builder.objective import Objective, Trainer
from builder.ray_runner import RayRunner
from builder.result import Param, Trial
from builder.runners import Runner
from builder.search import Budget, Progress, best, search
from builder.space import Choice
from topologies.cluster import cluster

COMMAND: Final = "python -m benchmarks.search"
PLENTY_S: Final = 1e6
SEQUENCES: Final = ("seq_size_bytes", "seq_direction", "seq_iat_us")


@dataclass(frozen=True)
class _Nothing:
    """A family whose trials do nothing but give an answer."""

    name: str = "nothing"
    task: str = "classify"
    uses: frozenset[str] = frozenset({"features"})

    @property
    def space(self) -> Mapping[str, Choice]:
        """Something to draw."""
        return {"side": Choice((0, 1))}

    def fit(self, *_: object, params: Mapping[str, Param], **__: object) -> Model:
        """Learn nothing."""
        return _Side(int(params["side"] or 0))


@dataclass(frozen=True)
class _Side:
    side: int

    def predict(self, inputs: Inputs) -> np.ndarray:
        """The same answer for all."""
        return np.tile(np.eye(2, dtype=np.float32)[self.side], (len(inputs), 1))


def _table(rows: int, classes: int = 6) -> tuple[Inputs, Target]:
    """Flows as hard to tell apart as real ones: skewed columns, a tenth of the labels wrong."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, rows)
    columns = rng.lognormal(0, 1, (rows, 60)) + 0.4 * (truth[:, None] * rng.random(60) % 1.7)
    told = np.where(rng.random(rows) < 0.1, rng.integers(0, classes, rows), truth)
    return Inputs(columns.astype(np.float32)), Target("classify", told, classes)


def _objective(found: Mapping[str, Family], inputs: Inputs, target: Target) -> Objective:
    classes = target.values.astype(np.int64)
    groups = np.arange(len(classes)) if target.groups is None else target.groups
    names = tuple(str(k) for k in range(target.width))
    folds = plan_validation(classes, groups, folds=3, seed=0, labels=names).folds
    return Objective(Trainer(found, "constant", 1), inputs, target, folds, "f1_macro")


def _cpu_s() -> float:
    """Processor seconds of this process and all below it, ended ones included."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            stats[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    family, size = {os.getpid()}, 0
    while len(family) > size:
        size = len(family)
        family |= {pid for pid, (parent, _) in stats.items() if parent in family}
    return sum(stats[pid][1] for pid in family if pid in stats) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Cost:
    """Of an evaluation, from when the first had ended."""

    seconds: float
    cpu_s: float


def _run(
    goal: Objective, heuristic: Heuristic, runner: Runner, trials: int
) -> tuple[tuple[Trial, ...], _Cost]:
    """The trials and what each cost."""
    ends: list[float] = []
    cpu_s: list[float] = []

    def listen(step: Progress) -> None:
        ends.append(time.perf_counter())
        if step.done in (1, step.total):
            cpu_s.append(_cpu_s())

    found = search(
        goal,
        goal.trainer.families,
        heuristic,
        runner,
        budget=Budget(trials, PLENTY_S, PLENTY_S),
        progress=listen,
    )
    count = max(1, len(ends) - 1)
    return found, _Cost((ends[-1] - ends[0]) / count, (cpu_s[-1] - cpu_s[0]) / count)


@contextmanager
def _workers(count: int) -> Iterator[RayRunner]:
    with cluster(count, None):
        yield RayRunner(cpus=count)


def workers(trials: int) -> None:
    """The same trials with one worker and with two."""
    inputs, target = _table(6_000)
    goal = _objective({"random_forest": families()["random_forest"]}, inputs, target)
    costs = {}
    for count in (1, 2):
        with _workers(count) as runner:
            _, costs[count] = _run(goal, RandomSearch(0), runner, trials)
    rows = [
        (f"{count}", 60 / cost.seconds, costs[1].seconds / cost.seconds, cost.cpu_s)
        for count, cost in costs.items()
    ]
    columns = ("workers", "trials/min", "ratio", "CPU s a trial")
    publish("Search: workers", f"{COMMAND} workers", columns, rows)


def overhead(trials: int) -> None:
    """Trials that do nothing, one worker, all heuristics."""
    rng = np.random.default_rng(0)
    inputs = Inputs(rng.random((50_000, 80), dtype=np.float32))
    target = Target("classify", np.arange(50_000) % 2, 2)
    goal = replace(_objective({"nothing": _Nothing()}, inputs, target))  # type: ignore[dict-item]
    goal = replace(goal, folds=goal.folds[:1])
    alone = statistics.median(_seconds(lambda: goal(drawn(_Nothing(), 0, 0))) for _ in range(20))
    rows = []
    with _workers(1) as runner:
        for name, make in HEURISTICS.items():
            _, cost = _run(goal, make(0), runner, trials)
            rows.append((name, *(1e3 * s for s in (alone, cost.seconds, cost.cpu_s))))
    columns = ("heuristic", "trial alone CPU ms", "in a search ms", "in a search CPU ms")
    publish(f"Search: overhead, {trials} trials", f"{COMMAND} overhead", columns, rows)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def against_sklearn(trials: int, seeds: int) -> None:
    """The same forests, folds and metric by both."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV

    inputs, target = _table(4_000)
    family = families()["random_forest"]
    goal = _objective({"random_forest": family}, inputs, target)
    fold = np.zeros(len(inputs), dtype=int)
    for number, one in enumerate(goal.folds):
        fold[one.valid] = number
    lists = {
        name: list(values.values) if isinstance(values, Choice) else
        list(range(values.low, values.high + 1))  # type: ignore[attr-defined]
        for name, values in family.space.items()
    }  # fmt: skip
    rows = []
    for seed in range(seeds):
        theirs = RandomizedSearchCV(
            RandomForestClassifier(random_state=seed), lists, n_iter=trials, n_jobs=2,
            scoring="f1_macro", cv=PredefinedSplit(fold), refit=False, random_state=seed,
        )  # fmt: skip
        clock, cpu = time.perf_counter(), _cpu_s()
        theirs.fit(inputs.table(), target.values)
        their_s, their_cpu_s = time.perf_counter() - clock, _cpu_s() - cpu
        with _workers(2) as runner:
            clock, cpu = time.perf_counter(), _cpu_s()
            ours, _ = _run(goal, RandomSearch(seed), runner, trials)
            our_s, our_cpu_s = time.perf_counter() - clock, _cpu_s() - cpu
        rows += [
            (f"{seed}: scikit-learn", float(theirs.best_score_), their_s, their_cpu_s),
            (f"{seed}: ours", _score(ours), our_s, our_cpu_s),
        ]
    columns = ("seed", "best CV score", "seconds", "CPU s")
    publish(f"Search: {trials} forests", f"{COMMAND} sklearn", columns, rows)


def _score(trials: tuple[Trial, ...]) -> float:
    leader = best(trials)
    return leader.score if leader and leader.score else 0.0


def halving(
    flows: Path, labels: Path, names: list[str], *, trials: int, most: int, seeds: int
) -> None:
    """Halving against random search on packet sequences: score and time."""
    inputs, target = _sequences(flows, labels, most)
    goal = _objective({name: families()[name] for name in names}, inputs, target)
    rows = []
    with _workers(2) as runner:
        for seed in range(seeds):
            scores, cpus = [], []
            for heuristic in (RandomSearch(seed), Halving(seed)):
                cpu = _cpu_s()
                found, _ = _run(goal, heuristic, runner, trials)
                cpus.append(_cpu_s() - cpu)
                scores.append(_score(found))
            rows.append((seed, *scores, *cpus, cpus[1] / cpus[0]))
    shares, gaps = [row[-1] for row in rows], [1 - row[2] / row[1] for row in rows]
    columns = ("seed", "random", "halving", "random CPU s", "halving CPU s", "share of the time")
    title = f"Search: halving, {trials} trials of {', '.join(names)} on {len(inputs):,} flows"
    publish(title, f"{COMMAND} halving", columns, rows)
    print(f"median share {statistics.median(shares):.2f}, gap {statistics.median(gaps):.2%}")


def _sequences(flows: Path, labels: Path, most: int) -> tuple[Inputs, Target]:
    """Packet sequences, classes and activities of the labelled flows of classes with 30 or more."""
    table = pq.read_table(flows, columns=["flow_id", *SEQUENCES])
    told = pq.read_table(labels, columns=["flow_id", "label", "activity_id"]).to_pylist()
    by_id = {row["flow_id"]: row for row in told}
    ids = table["flow_id"].to_pylist()
    label = np.array([by_id.get(one, {}).get("label") or "unlabelled" for one in ids])
    names, counts = np.unique(label, return_counts=True)
    kept = [n for n, c in zip(names, counts, strict=True) if c >= 30 and n != "unlabelled"]
    chosen = np.flatnonzero(np.isin(label, kept))
    chosen = np.random.default_rng(0).permutation(chosen)[:most]
    steps = np.stack([np.array(table[n].to_pylist(), np.float32) for n in SEQUENCES], axis=-1)
    activity = [by_id.get(one, {}).get("activity_id") or one for one in ids]
    groups = np.unique(np.array(activity)[chosen], return_inverse=True)[1]
    classes = np.searchsorted(kept, label[chosen]).astype(np.int64)
    return Inputs(None, steps[chosen]), Target("classify", classes, len(kept), groups)


def main() -> None:
    """Run one of the comparisons."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("what", choices=("workers", "overhead", "sklearn", "halving"))
    options.add_argument("tables", type=Path, nargs="*")
    options.add_argument("--trials", type=int)
    options.add_argument("--families", default="lstm")
    options.add_argument("--rows", type=int, default=4_000)
    options.add_argument("--seeds", type=int, default=3)
    chosen = options.parse_args()
    match chosen.what:
        case "workers":
            workers(chosen.trials or 24)
        case "overhead":
            overhead(chosen.trials or 300)
        case "sklearn":
            against_sklearn(chosen.trials or 24, chosen.seeds)
        case "halving":
            names, trials = chosen.families.split(","), chosen.trials or 27
            halving(*chosen.tables, names, trials=trials, most=chosen.rows, seeds=chosen.seeds)


if __name__ == "__main__":
    main()
