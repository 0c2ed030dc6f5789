"""A real Ray on this machine, against the serial twin."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builder.families import Inputs, Target, families
from builder.folds import Fold
from builder.objective import Candidate, Objective, Trainer
from builder.ray_runner import RayRunner
from builder.runners import SerialRunner
from builder.search import RandomSearch, search

pytestmark = pytest.mark.slow


def objective(rows: int = 300) -> Objective:
    rng = np.random.default_rng(0)
    classes = np.arange(rows) % 3
    table = (classes[:, None] + 2 * rng.normal(size=(rows, 8))).astype(np.float32)
    number = np.arange(rows)
    folds = tuple(Fold(number[number % 3 != k], number[number % 3 == k]) for k in range(3))
    return Objective(
        Trainer(dict(families()), "constant", 1),
        Inputs(table),
        Target("classify", classes, 3),
        folds,
        "f1_macro",
    )


def trials(runner, goal: Objective):
    heuristic = RandomSearch({n: f.space for n, f in families().items()}, 11)
    found = search(
        goal,
        heuristic,
        runner,
        trials=8,
        time_budget_s=300,
        trial_timeout_s=300,
        progress=lambda _: None,
    )
    return [replace(trial, seconds=0.0) for trial in found]


def left_behind():
    return set(Path(tempfile.gettempdir()).glob("gsta-ray-*"))


def test_ray_and_serial_give_the_same_trials_and_ray_is_gone_afterwards():
    import ray

    before = left_behind()
    goal = objective()
    serial = trials(SerialRunner(), goal)
    assert trials(RayRunner(cpus=2), goal) == serial
    assert {trial.status for trial in serial} == {"ok"}
    assert not ray.is_initialized()
    assert left_behind() <= before


class Trouble:
    """Stands in for an objective whose process dies or hangs."""

    def __init__(self) -> None:
        self.trainer = Trainer({}, "constant", 1)

    def __call__(self, candidate: Candidate):
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
    found = {trial.number: trial for trial in RayRunner(cpus=2).run(Trouble(), iter(jobs))}
    assert found[0].status == "failed"
    assert "the worker died" in found[0].error
    assert found[1].status == "failed"
    assert "its limit was 0.5 s" in found[1].error
    assert found[2].status == "ok"
