"""A real Ray on this machine, against the serial twin."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from builder.families import Inputs, Target, families
from builder.folds import Fold
from builder.heuristics import HEURISTICS
from builder.objective import Candidate, Checkpoints, Objective, Trainer
from builder.ray_runner import RayRunner
from builder.runners import SerialRunner
from builder.search import Budget, search
from tests.builder.searching import untimed
from topologies.cluster import cluster
from topologies.errors import MachineError

pytestmark = pytest.mark.slow


def objective(rows: int = 300) -> Objective:
    rng = np.random.default_rng(0)
    classes = np.arange(rows) % 3
    table = (classes[:, None] + 2 * rng.normal(size=(rows, 8))).astype(np.float32)
    number = np.arange(rows)
    folds = tuple(Fold(number[number % 3 != k], number[number % 3 == k]) for k in range(3))
    return Objective(
        Trainer({n: families()[n] for n in ("random_forest", "xgboost")}, "constant", 1),
        Inputs(table),
        Target("classify", classes, 3),
        folds,
        "f1_macro",
    )


def trials(runner, goal: Objective, name: str):
    found = search(
        goal,
        goal.trainer.families,
        HEURISTICS[name](11),
        runner,
        budget=Budget(9, 300, 300),
        progress=lambda _: None,
    )
    return untimed(found)


def left_behind():
    return set(Path(tempfile.gettempdir()).glob("gsta-ray-*"))


@pytest.fixture(scope="module", autouse=True)
def _one_cluster_for_all():
    """It takes seconds to start, and has to be gone afterwards."""
    import ray

    before = left_behind()
    with cluster(2, None):
        yield
    assert not ray.is_initialized()
    assert left_behind() <= before


@pytest.mark.parametrize("name", ["halving", "tpe"])  # random is the first round of halving
def test_ray_and_serial_give_the_same_trials(name):
    goal = objective()
    serial = trials(SerialRunner(), goal, name)
    assert trials(RayRunner(), goal, name) == serial
    assert {trial.status for trial in serial} == {"ok"}


def test_what_no_machine_has_is_refused():
    with pytest.raises(MachineError, match="a trial needs 999 processors, and Ray has 2"):
        next(RayRunner(cpus_per_trial=999).run(objective(), lambda _: None))


class Trouble:
    """Stands in for an objective whose process dies or hangs."""

    def __init__(self) -> None:
        self.trainer = Trainer({}, "constant", 1)

    def __call__(self, candidate: Candidate, kept: Checkpoints):
        if candidate.params["what"] == "die":
            os._exit(1)
        time.sleep(candidate.params["seconds"])
        return objective(30)(Candidate(candidate.number, "random_forest", {}, seed=0))


def test_a_dead_or_hanging_worker_is_a_failed_trial_and_the_others_go_on():
    jobs = [
        Candidate(0, "random_forest", {"what": "die"}, seed=0),
        Candidate(1, "random_forest", {"what": "sleep", "seconds": 600}, seed=0, limit_s=0.5),
        Candidate(2, "random_forest", {"what": "sleep", "seconds": 0}, seed=0),
    ]
    waiting = iter(jobs)
    runner = RayRunner(cpus_per_trial=0.5)
    found = {t.number: t for t in runner.run(Trouble(), lambda _: next(waiting, None))}
    assert found[0].status == "failed"
    assert "the worker died" in found[0].error
    assert found[1].status == "failed"
    assert "its limit was 0.5 s" in found[1].error
    assert found[2].status == "ok"
