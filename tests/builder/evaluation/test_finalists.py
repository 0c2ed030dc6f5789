from __future__ import annotations

import pytest

from builder.evaluation.finalists import Finalist, choose, pareto
from builder.evaluation.records import Speed
from builder.evaluation.speed import measure, within
from builder.families.base import Inputs
from builder.result import Trial


def trial(number, family, score):
    status = "ok" if score is not None else "failed"
    return Trial(number, family, {}, (), score, 0.0, status)


TRIALS = (
    trial(0, "forest", 0.90),
    trial(1, "boosted", 0.95),
    trial(2, "forest", 0.93),
    trial(3, "boosted", 0.94),
    trial(4, "linear", None),
)
SILENT = "not compared, for no trial of it ended with a score: linear"
SPEEDS = {0: 10.0, 1: 300.0, 2: 50.0, 3: 200.0, 9: 1.0}


def train(one):
    return Finalist(one, None, None, Speed(SPEEDS[one.number], 1.0, 1.0))


def test_without_limits_the_best_in_validation_wins():
    found = choose(TRIALS, train, limits={}, beside=(trial(9, "majority", 0.99),))
    assert found.winner.trial.number == 1
    assert [one.trial.number for one in found.every] == [9, 1, 2]
    assert found.notes == (SILENT,)


def test_the_winner_is_the_best_that_fits():
    found = choose(TRIALS, train, limits={"latency_us_per_flow": 100})
    assert found.winner.trial.number == 2
    assert [one.trial.number for one in found.others] == [1]
    assert choose(TRIALS, train, limits={"latency_us_per_flow": 20}).winner.trial.number == 0


def test_where_none_fits_the_best_wins_and_it_is_said():
    found = choose(TRIALS, train, limits={"size_mb": 0.5})
    assert found.winner.trial.number == 1
    assert found.notes == (
        "no model kept the limits (size_mb 0.5); the best in validation was taken",
        SILENT,
    )


def test_a_rival_that_cannot_be_trained_again_is_said_and_the_winner_must_be():
    def stubborn(one):
        if one.family == "forest":
            raise ValueError("out of sorts")
        return train(one)

    assert choose(TRIALS, stubborn, limits={}).notes == (
        SILENT,
        "forest could not be trained again: out of sorts",
    )
    with pytest.raises(ValueError, match="out of sorts"):
        choose(TRIALS[:1], stubborn, limits={})


def test_the_front_holds_what_no_other_beats():
    every = [train(one) for one in TRIALS[:4]]
    assert pareto(every) == {0, 1, 2, 3}
    slow = Finalist(trial(5, "slow", 0.93), None, None, Speed(60.0, 1.0, 1.0))
    assert pareto([*every, slow]) == {0, 1, 2, 3}
    twin = Finalist(trial(6, "twin", 0.93), None, None, Speed(50.0, 1.0, 1.0))
    assert pareto([*every, twin]) == {0, 1, 2, 3, 6}


def test_time_is_measured_by_flow_and_in_bulk():
    import numpy as np

    now = [0.0]

    def answer(inputs):
        now[0] += 1e-3 + 1e-6 * len(inputs)
        return inputs.features

    inputs = Inputs(np.zeros((7, 2), dtype=np.float32))
    speed = measure(answer, inputs, size_bytes=2_500_000, clock=lambda: now[0])
    assert speed.latency_us_per_flow == pytest.approx(1001, abs=0.1)
    assert speed.bulk_us_per_flow == pytest.approx(1 + 1000 / 8192, abs=1e-3)
    assert speed.size_mb == 2.5
    assert within(speed, {"size_mb": 2.5})
    assert not within(speed, {"size_mb": 3, "latency_us_per_flow": 1000})
