from __future__ import annotations

import random
from collections import Counter

import pytest

from builder.heuristics import HEURISTICS, Halving
from builder.journal import TrialJournal
from builder.objective import Trainer
from builder.runners import Place, SerialRunner
from builder.search import Budget, best, search
from tests.builder.searching import Awkward, Guess, objective, untimed

NAMES = sorted(HEURISTICS)


def run(name, *, runner=None, trials=27, seed=5, journal=None, families=None, heard=None):
    chosen = families or {"guess": Guess()}
    goal = objective(("guess",), trainer=Trainer(chosen, "constant", 1))
    return search(
        goal,
        goal.trainer.families,
        HEURISTICS[name](seed),
        runner or SerialRunner(),
        budget=Budget(trials, 1e6, 1e6),
        progress=(lambda _: None) if heard is None else heard.append,
        journal=journal,
    )


class Shuffled:
    """Takes as many as there are places and ends them in an order of its own."""

    def __init__(self, places, seed=0):
        self.places, self.rng = places, random.Random(seed)

    def run(self, goal, take):
        running = []
        while True:
            while len(running) < self.places and (one := take(Place(self.places))) is not None:
                running.append(one)
            if not running:
                return
            yield goal(running.pop(self.rng.randrange(len(running))))


@pytest.mark.parametrize("name", NAMES)
def test_the_trials_depend_on_the_seed_and_not_on_how_many_run_at_once(name):
    pair = {"guess": Guess(), "awkward": Awkward()}
    serial = untimed(run(name, families=pair))
    assert len({trial.number for trial in serial}) == 27
    for places in (2, 5):
        assert untimed(run(name, runner=Shuffled(places), families=pair)) == serial
    assert untimed(run(name, families=pair, seed=6)) != serial


@pytest.mark.parametrize("name", NAMES)
def test_progress_counts_to_the_end(name):
    heard = []
    run(name, heard=heard, families={"guess": Guess(), "awkward": Awkward()})
    assert [step.done for step in heard] == list(range(1, len(heard) + 1))
    assert {step.total for step in heard} >= {len(heard)}


def test_halving_gives_the_best_third_three_times_the_training():
    heard = []
    trials = run("halving", heard=heard)
    budgets = [step.trial.budget for step in heard]
    assert Counter(budgets) == {1 / 9: 27, 1 / 3: 9, 1.0: 3}
    assert budgets == sorted(budgets)
    at_first = {step.trial.number: step.trial.score for step in heard[:27]}
    went_on = {trial.number for trial in trials if trial.budget > 1 / 9}
    assert min(at_first[n] for n in went_on) >= max(
        score for n, score in at_first.items() if n not in went_on
    )
    found, random_found = best(trials), best(run("random"))
    assert found.budget == 1
    assert found.number == random_found.number


@pytest.mark.parametrize(("trials", "rounds"), [(1, [1]), (2, [2]), (3, [3, 1]), (8, [8, 2])])
def test_halving_of_few_candidates_has_fewer_rounds(trials, rounds):
    heard = []
    run("halving", trials=trials, heard=heard)
    counts = Counter(step.trial.budget for step in heard)
    assert [counts[budget] for budget in sorted(counts)] == rounds
    assert max(counts) == 1


def test_halving_trains_in_full_what_cannot_be_trained_in_part():
    trials = run("halving", families={"awkward": Awkward()})
    assert {trial.budget for trial in trials} == {1.0}
    assert Halving(0).evaluations(Awkward(), 27) == 27


def test_tpe_looks_where_good_values_are():
    trials = run("tpe", trials=60)
    late = [abs(trial.params["place"] - 0.7) for trial in trials[40:]]
    drawn = [abs(trial.params["place"] - 0.7) for trial in run("random", trials=60)]
    assert sum(late) / len(late) < 0.5 * sum(drawn) / len(drawn)
    for trial in trials:
        assert set(trial.params) == set(Guess.space)
        assert all(trial.params[name] in values for name, values in Guess.space.items())


class KilledError(Exception):
    """The process is gone."""


class Fragile:
    """Dies after some trials."""

    def __init__(self, lives):
        self.lives = lives

    def run(self, goal, take):
        for trial in Shuffled(2).run(goal, take):
            if not self.lives:
                raise KilledError
            self.lives -= 1
            yield trial


@pytest.mark.parametrize("name", NAMES)
def test_a_search_that_was_killed_ends_as_an_undisturbed_one(name, tmp_path):
    path = tmp_path / "trials.jsonl"
    whole = run(name)
    for lives in (5, 20):
        with pytest.raises(KilledError):
            run(name, runner=Fragile(lives), journal=TrialJournal(path, "key"))
        with path.open("a") as stream:
            stream.write('{"trial": {"number": 3, "fam')  # the line it was writing
    heard = []
    resumed = run(name, journal=TrialJournal(path, "key"), heard=heard)
    assert untimed(resumed) == untimed(whole)
    assert heard[-1].recalled == 25
    again = []
    assert run(name, journal=TrialJournal(path, "key"), heard=again) == resumed
    assert again[-1].recalled == again[-1].done == len(again)


def test_a_journal_of_another_search_is_started_afresh(tmp_path):
    path = tmp_path / "trials.jsonl"
    run("random", trials=4, journal=TrialJournal(path, "one"))
    heard = []
    run("random", trials=4, journal=TrialJournal(path, "two"), heard=heard)
    assert heard[-1].recalled == 0
    # The same numbers with other hyperparameters are other trials.
    run("random", trials=4, seed=9, journal=TrialJournal(path, "two"), heard=heard)
    assert heard[-1].recalled == 0


def test_more_trials_can_be_asked_for_later(tmp_path):
    path, heard = tmp_path / "trials.jsonl", []
    run("random", trials=4, journal=TrialJournal(path, "key"))
    run("random", trials=9, journal=TrialJournal(path, "key"), heard=heard)
    assert (heard[-1].recalled, heard[-1].done) == (4, 9)


@pytest.mark.parametrize(("seed", "scored"), [(5, 3), (9, 10)])
def test_the_time_of_trials_that_are_taken_over_counts(seed, scored, tmp_path):
    path = tmp_path / "trials.jsonl"
    with pytest.raises(KilledError):
        run("random", runner=Fragile(3), journal=TrialJournal(path, "key"))
    path.write_text(path.read_text().replace('"at_s": 0.0', '"at_s": 50.0'))
    goal = objective(("guess",))
    trials = search(
        goal,
        goal.trainer.families,
        HEURISTICS["random"](seed),  # of another seed, none of them is
        SerialRunner(),
        budget=Budget(10, 40.0, 1e6),
        progress=lambda _: None,
        journal=TrialJournal(path, "key"),
    )
    assert Counter(trial.status for trial in trials) == Counter(ok=scored, skipped=10 - scored)
