from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builder.families import Inputs
from builder.heuristics import RandomSearch
from builder.objective import Candidate, Trainer, again
from builder.runners import Place, SerialRunner
from builder.search import Budget, best, search
from builder.space import Choice
from tests.builder.searching import Awkward, Constant, Guess, objective
from topologies.errors import MissingExtraError

PLENTY = 1e6


class Clock:
    """Each look at it takes a second."""

    def __init__(self, step=1.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


class Sound(Awkward):
    space = {"fault": Choice((None,))}  # noqa: RUF012


def run(goal, *, trials=6, time_s=PLENTY, trial_s=PLENTY, runner=None, seed=0, **changes):
    return search(
        goal,
        goal.trainer.families,
        RandomSearch(seed),
        runner or SerialRunner(),
        budget=Budget(trials, time_s, trial_s),
        **({"progress": lambda _: None} | changes),
    )


def sound(**changes):
    return objective(trainer=Trainer({"awkward": Sound()}, "constant", 1), **changes)


def candidate(**params):
    return Candidate(0, "awkward", params, seed=1)


def test_a_failing_trial_is_recorded_and_the_search_goes_on():
    trials = run(objective(), trials=20)
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
    trials = run(sound(), time_s=3.5, clock=Clock())
    assert [trial.status for trial in trials] == ["ok"] * 3 + ["skipped"] * 3
    assert trials[3].error == "the time budget was used up"
    assert trials[3].params == {"fault": None}


class Recorder:
    """A runner that keeps what it took, and makes each trial seem to last ``seconds`` by family."""

    def __init__(self, seconds=None):
        self.taken, self.seconds = [], seconds or {}

    def run(self, goal, take):
        while (one := take(Place(1))) is not None:
            self.taken.append(one)
            yield replace(goal(one), seconds=self.seconds.get(one.family, 0.0))


def test_the_limit_of_a_trial_is_the_time_that_is_left():
    recorder = Recorder()
    run(sound(), trials=9, time_s=4.5, trial_s=2.0, runner=recorder, clock=Clock())
    assert [one.limit_s for one in recorder.taken] == [2.0, 2.0, 1.5, 0.5]


def two_families(seconds, **changes):
    recorder = Recorder(seconds)
    pair = Trainer({"awkward": Sound(), "guess": Guess()}, "constant", 1)
    goal = objective(("awkward", "guess"), trainer=pair)
    trials = run(goal, runner=recorder, **changes)
    return recorder.taken, trials


def test_families_share_the_trials_and_a_candidate_depends_on_its_number_only():
    first, trials = two_families({}, trials=7)
    assert [trial.family for trial in trials] == ["awkward", "guess"] * 3 + ["awkward"]
    assert len({trial.seed for trial in trials}) == 7
    assert len({trial.params["place"] for trial in trials if trial.family == "guess"}) == 3
    second, longer = two_families({"awkward": 5.0}, trials=9)
    assert [one.number for one in second] != [one.number for one in first]
    assert longer[:7] == tuple(replace(t, seconds=longer[t.number].seconds) for t in trials)
    assert two_families({}, trials=7, seed=1)[1][1].params != trials[1].params


def test_a_slow_family_does_not_starve_the_others():
    taken, _ = two_families({"awkward": 10.0, "guess": 1.0}, trials=60)
    until = [one.family for one in taken[:22]]
    assert (until.count("awkward"), until.count("guess")) == (2, 20)
    assert len(taken) == 60


def test_a_trial_may_take_its_familys_share_of_the_time_at_most():
    taken, _ = two_families({}, trials=4, time_s=100.0, clock=Clock(0.0))
    assert [one.limit_s for one in taken] == [50.0, 50.0, 50.0, 100.0]


def test_progress_tells_each_trial_and_the_best_so_far():
    heard = []
    trials = run(objective(("random_forest", "xgboost")), trials=4, progress=heard.append)
    assert [step.done for step in heard] == [1, 2, 3, 4]
    assert {step.total for step in heard} == {4}
    assert sorted((step.trial for step in heard), key=lambda t: t.number) == list(trials)
    scores = [step.trial.score for step in heard]
    assert [step.best for step in heard] == [max(scores[: k + 1]) for k in range(4)]


def test_the_best_is_the_highest_then_the_most_trained_then_the_earliest():
    trial = objective()(candidate(fault=None))
    made = [replace(trial, number=n, score=s) for n, s in enumerate([0.2, None, 0.9, 0.9])]
    assert best(made).number == 2
    assert best([replace(made[2], budget=0.5), made[3]]).number == 3
    assert best(made[1:2]) is None


def test_a_trial_can_be_trained_again():
    goal = objective(("random_forest",))
    one = run(goal, trials=1)[0]
    assert replace(goal(again(one)), seconds=one.seconds) == one


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
