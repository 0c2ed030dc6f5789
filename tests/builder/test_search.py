from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builder.families import Inputs, Target, families
from builder.folds import Fold
from builder.objective import Candidate, Objective, Trainer
from builder.runners import SerialRunner
from builder.search import RandomSearch, best, search
from builder.space import Choice, IntRange
from topologies.errors import MissingExtraError


class Awkward:
    """A family that fails as the parameters say."""

    name = "awkward"
    task = "classify"
    uses = frozenset({"features"})
    space = {"fault": Choice((None, "value", "nan"))}  # noqa: RUF012

    def fit(self, inputs, target, *, params, seed, threads):
        if params["fault"] == "value":
            raise ValueError("no such solver")
        if params["fault"] == "library":
            raise MissingExtraError("keras", extra="deep")
        return Constant(params["fault"], target.width)


class Constant:
    def __init__(self, fault, width):
        self.value = np.nan if fault == "nan" else 1 / width
        self.width = width

    def predict(self, inputs):
        return np.full((len(inputs), self.width), self.value, dtype=np.float32)


class Clock:
    """Each look at it takes a second."""

    def __init__(self, step=1.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def objective(names=("awkward",), **changes):
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 2
    table = (classes[:, None] + rng.normal(size=(60, 3))).astype(np.float32)
    known = {"awkward": Awkward()} | dict(families())
    rows = np.arange(60)
    folds = tuple(Fold(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3))
    made = Objective(
        Trainer({name: known[name] for name in names}, "constant", 1),
        Inputs(table),
        Target("classify", classes, 2),
        folds,
        "f1_macro",
    )
    return replace(made, **changes)


def run(goal, heuristic, **changes):
    options = {
        "trials": 6,
        "time_budget_s": 1e6,
        "trial_timeout_s": 1e6,
        "progress": lambda _: None,
    }
    return search(goal, heuristic, SerialRunner(), **(options | changes))


def candidate(**params):
    return Candidate(0, "awkward", params, seed=1)


def test_a_failing_trial_is_recorded_and_the_search_goes_on():
    trials = run(objective(), RandomSearch({"awkward": Awkward.space}, 0), trials=20)
    assert [trial.number for trial in trials] == list(range(20))
    outcomes = {trial.params["fault"]: (trial.status, trial.error) for trial in trials}
    assert outcomes == {
        None: ("ok", None),
        "value": ("failed", "ValueError: no such solver"),
        "nan": ("failed", "FloatingPointError: the model's answer is not finite"),
    }
    assert all((trial.score is None) == (trial.status == "failed") for trial in trials)


def test_a_missing_library_ends_the_search_with_its_remedy():
    with pytest.raises(MissingExtraError, match="deep"):
        objective()(candidate(fault="library"))


def test_a_trial_over_its_limit_is_recorded_between_folds():
    slow = objective(clock=Clock())
    trial = slow(replace(candidate(fault=None), limit_s=1.5))
    assert trial.status == "failed"
    assert len(trial.fold_scores) == 1
    assert trial.error == "stopped after 3.0 s; its limit was 1.5 s"


def test_what_the_time_budget_leaves_no_room_for_is_skipped():
    heuristic = RandomSearch({"awkward": {"fault": Choice((None,))}}, 0)
    trials = run(objective(), heuristic, time_budget_s=3.5, clock=Clock())
    assert [trial.status for trial in trials] == ["ok"] * 3 + ["skipped"] * 3
    assert trials[3].error == "the time budget was used up"
    assert trials[3].params == {"fault": None}


def test_the_limit_of_a_trial_is_the_time_that_is_left():
    limits = []

    class Recorder:
        def run(self, _, candidates):
            for one in candidates:
                limits.append(one.limit_s)
                yield objective()(one)

    heuristic = RandomSearch({"awkward": {"fault": Choice((None,))}}, 0)
    options = {"trials": 9, "trial_timeout_s": 2.0, "progress": lambda _: None}
    search(objective(), heuristic, Recorder(), time_budget_s=4.5, clock=Clock(), **options)
    assert limits == [2.0, 2.0, 1.5, 0.5]


def test_families_take_turns_and_a_candidate_depends_on_its_number_only():
    domain = {"a": {"depth": IntRange(1, 1000)}, "b": {"depth": IntRange(1, 1000)}}
    heuristic = RandomSearch(domain, 3)
    asked = [heuristic.ask(number, ()) for number in range(6)]
    assert [one.family for one in asked] == ["a", "b"] * 3
    assert len({one.seed for one in asked}) == 6
    assert len({one.params["depth"] for one in asked}) > 4
    assert heuristic.ask(4, ()) == asked[4]
    assert RandomSearch(domain, 4).ask(4, ()) != asked[4]


def test_progress_tells_each_trial_and_the_best_so_far():
    heard = []
    names = ("random_forest", "xgboost")
    heuristic = RandomSearch({name: families()[name].space for name in names}, 0)
    trials = run(objective(names), heuristic, trials=4, progress=heard.append)
    assert [step.done for step in heard] == [1, 2, 3, 4]
    assert {step.total for step in heard} == {4}
    assert [step.trial for step in heard] == list(trials)
    scores = [trial.score for trial in trials]
    assert [step.best for step in heard] == [max(scores[: k + 1]) for k in range(4)]


def test_the_best_is_the_highest_and_of_equals_the_earliest():
    trial = objective()(candidate(fault=None))
    made = [replace(trial, number=n, score=s) for n, s in enumerate([0.2, None, 0.9, 0.9])]
    assert best(made).number == 2
    assert best(made[1:2]) is None


def test_the_score_is_the_mean_of_the_folds_and_preprocessing_sees_training_rows_only():
    goal = objective(("random_forest",))
    # Infinity in a validation row would move a fill or a bound learnt from it.
    one = Candidate(0, "random_forest", dict.fromkeys(("class_weight",)), seed=0)
    trial = goal(one)
    assert trial.score == pytest.approx(np.mean(trial.fold_scores))
    assert len(trial.fold_scores) == 3

    seen = []

    class Spy(Awkward):
        def fit(self, inputs, target, *, params, seed, threads):
            seen.append(inputs.features.max())
            return Constant(None, target.width)

    table = np.zeros((60, 1), dtype=np.float32)
    table[0] = 1e6  # in the validation part of fold 0
    spied = objective(inputs=Inputs(table), trainer=Trainer({"awkward": Spy()}, "constant", 1))
    spied(candidate())
    assert seen == [0, 1e6, 1e6]
