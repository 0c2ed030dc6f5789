"""The search against its bars: two workers against one, its cost per trial, and scikit-learn's.

    python -m benchmarks.search workers            # trials a minute with 1 and 2 workers
    python -m benchmarks.search overhead           # seconds per trial that does nothing
    python -m benchmarks.search sklearn            # RandomizedSearchCV on the same space
    python -m benchmarks.search halving [DATASET/flows DATASET/labels.parquet]

Run it on a quiet machine: seconds are on the clock; CPU seconds, of all processes, bear company.
On two cores ``workers`` and ``sklearn`` take two or three minutes each, ``halving`` about ten;
``--rows``, ``--trials`` and ``--seeds`` make them longer or shorter. ``halving`` takes flow tables
with packet sequences (a file or folder) and their labels, both of a dataset, or makes flows itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.search_data import of_a_run, tabular, talking
from benchmarks.timing import publish
from builder.families import families
from builder.families.base import Family, Inputs, Model, Target
from builder.families.random_forest import RandomForest
from builder.folds import plan_validation
from builder.heuristics import HEURISTICS, Halving, Heuristic, RandomSearch, Rounds, drawn
from builder.objective import Candidate, Objective, Trainer
from builder.ray_runner import RayRunner
from builder.result import Param, Trial
from builder.runners import Place, Runner, Take
from builder.search import Budget, Progress, best, search
from builder.space import Choice
from topologies.cluster import cluster

COMMAND: Final = "python -m benchmarks.search"
PLENTY_S: Final = 1e6


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


class _Loaded(RandomForest):
    """Loads scikit-learn where it arrives, as their processes have before they are timed."""

    def __reduce__(self) -> tuple[Callable[[], RandomForest], tuple[()]]:
        return _loaded, ()


def _loaded() -> RandomForest:
    import sklearn.ensemble  # noqa: F401

    return _Loaded()


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
    """Of a search, from when the first worker was ready."""

    evaluations: int
    seconds: float
    cpu_s: float
    start_s: float  # until then


@dataclass
class _Timed:
    """A runner whose workers' start is measured by itself."""

    runner: Runner
    ready: tuple[float, float] | None = None  # clock, processor

    def run(self, objective: Objective, take: Take) -> Iterator[Trial]:
        """As the runner does; it takes a candidate once there is a worker for it."""

        def first(place: Place) -> Candidate | None:
            self.ready = self.ready or (time.perf_counter(), _cpu_s())
            return take(place)

        return self.runner.run(objective, first)


def _run(
    goal: Objective, heuristic: Heuristic, runner: Runner, trials: int
) -> tuple[tuple[Trial, ...], _Cost]:
    """The trials and what they cost."""
    began, timed = time.perf_counter(), _Timed(runner)
    ends: list[tuple[float, float]] = []
    looked: list[tuple[float, float]] = []

    def listen(step: Progress) -> None:
        now = time.perf_counter()
        if not ends or step.done == step.total or now - looked[-1][0] > 1:
            looked.append((now, _cpu_s()))  # takes time itself, and workers are gone at the end
        ends.append((now, looked[-1][1]))

    found = search(
        goal,
        goal.trainer.families,
        heuristic,
        timed,
        budget=Budget(trials, PLENTY_S, PLENTY_S),
        progress=listen,
    )
    ready = timed.ready or (began, 0.0)
    seconds, cpu_s = (end - start for end, start in zip(ends[-1], ready, strict=True))
    return found, _Cost(len(ends), seconds, cpu_s, ready[0] - began)


@contextmanager
def _workers(count: int) -> Iterator[RayRunner]:
    with cluster(count, None):
        yield RayRunner(cpus=count)


def workers(trials: int, rows: int) -> None:
    """The same trials with one worker and with two."""
    inputs, target = tabular(rows)
    goal = _objective({"random_forest": _Loaded()}, inputs, target)
    costs = {}
    for count in (1, 2):
        with _workers(count) as runner:
            _, costs[count] = _run(goal, RandomSearch(0), runner, trials)
    lines = [
        (f"{count}", 60 * trials / cost.seconds, costs[1].seconds / cost.seconds,
         cost.cpu_s / trials, cost.start_s)
        for count, cost in costs.items()
    ]  # fmt: skip
    columns = ("workers", "trials/min", "ratio", "CPU s a trial", "start s")
    publish(f"Search: workers, {trials} trials", f"{COMMAND} workers", columns, lines)


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
            each = [spent / cost.evaluations for spent in (cost.seconds, cost.cpu_s)]
            rows.append((name, *(1e3 * s for s in (alone, *each))))
    columns = ("heuristic", "trial alone CPU ms", "in a search ms", "in a search CPU ms")
    publish(f"Search: overhead, {trials} trials", f"{COMMAND} overhead", columns, rows)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def against_sklearn(trials: int, rows: int, seeds: int) -> None:
    """The same forests, folds and metric by both; their processes are there when it begins."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV

    inputs, target = tabular(rows)
    family = _Loaded()
    goal = _objective({"random_forest": family}, inputs, target)
    fold = np.zeros(len(inputs), dtype=int)
    for number, one in enumerate(goal.folds):
        fold[one.valid] = number

    def theirs(candidates: list[Candidate]) -> tuple[float, float, float]:
        """Best score, seconds and processor seconds."""
        grid = [{n: [v] for n, v in one.params.items()} | {"random_state": [one.seed]}
                for one in candidates]  # fmt: skip
        their = RandomizedSearchCV(
            RandomForestClassifier(), grid, n_iter=len(grid), n_jobs=2, scoring="f1_macro",
            cv=PredefinedSplit(fold), refit=False, random_state=0,
        )  # fmt: skip
        clock, cpu = time.perf_counter(), _cpu_s()
        their.fit(inputs.table(), target.values)
        return float(their.best_score_), time.perf_counter() - clock, _cpu_s() - cpu

    _, start_s, _ = theirs([drawn(family, number, 0) for number in range(2)])
    lines: list[tuple[object, ...]] = []
    for seed in range(seeds):
        score, seconds, cpu_s = theirs([drawn(family, number, seed) for number in range(trials)])
        with _workers(2) as runner:
            ours, cost = _run(goal, RandomSearch(seed), runner, trials)
        lines += [
            (f"{seed}: scikit-learn", score, seconds, 1.0, cpu_s, start_s),
            (f"{seed}: ours", _score(ours), cost.seconds, cost.seconds / seconds, cost.cpu_s,
             cost.start_s),
        ]  # fmt: skip
    columns = ("seed", "best CV score", "seconds", "of theirs", "CPU s", "start s")
    publish(f"Search: {trials} forests, the same by both", f"{COMMAND} sklearn", columns, lines)


def _score(trials: tuple[Trial, ...]) -> float:
    leader = best(trials)
    return leader.score if leader and leader.score else 0.0


@dataclass(frozen=True)
class _Compiling(RandomSearch):
    """The candidates of a seed, each for one epoch: what they compile is there for all others."""

    def rounds(self, family: Family, numbers: Sequence[int]) -> Rounds:
        """Yield all at once."""
        yield [replace(drawn(family, number, self.seed), budget=1e-3) for number in numbers]


def halving(inputs: Inputs, target: Target, names: list[str], *, trials: int, seeds: int) -> None:
    """Halving against random search on packet sequences: score and time, all compiled before."""
    goal = _objective({name: families()[name] for name in names}, inputs, target)
    rows = []
    with _workers(2) as runner:
        for seed in range(seeds):
            _run(replace(goal, folds=goal.folds[:1]), _Compiling(seed), runner, trials)
            (full, cost), (found, less) = (
                _run(goal, heuristic, runner, trials)
                for heuristic in (RandomSearch(seed), Halving(seed))
            )
            rows.append(
                (seed, _score(full), _score(found), 1 - _score(found) / _score(full),
                 cost.seconds, less.seconds, less.seconds / cost.seconds, less.cpu_s / cost.cpu_s)
            )  # fmt: skip
            print(*rows[-1], flush=True)
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    columns = ("seed", "random", "halving", "gap", "random s", "halving s", "share", "CPU share")
    title = f"Search: halving, {trials} trials of {', '.join(names)} on {len(inputs):,} flows"
    publish(title, f"{COMMAND} halving", columns, [*rows, ("median", *medians[1:])])


def main() -> None:
    """Run one of the comparisons."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("what", choices=("workers", "overhead", "sklearn", "halving"))
    options.add_argument("tables", type=Path, nargs="*")
    options.add_argument("--trials", type=int)
    options.add_argument("--families", default="lstm,cnn_lstm")
    options.add_argument("--rows", type=int)
    options.add_argument("--seeds", type=int, default=3)
    chosen = options.parse_args()
    rows = chosen.rows or (1_000 if chosen.what == "sklearn" else 1_500)
    match chosen.what:
        case "workers":
            workers(chosen.trials or 24, rows)
        case "overhead":
            overhead(chosen.trials or 300)
        case "sklearn":
            against_sklearn(chosen.trials or 24, rows, chosen.seeds)
        case "halving":
            names, trials = chosen.families.split(","), chosen.trials or 18
            flows = of_a_run(*chosen.tables, rows) if chosen.tables else talking(rows)
            halving(*flows, names, trials=trials, seeds=chosen.seeds)


if __name__ == "__main__":
    main()
