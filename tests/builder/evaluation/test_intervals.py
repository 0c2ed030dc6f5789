from __future__ import annotations

import numpy as np
import pytest

from builder.evaluation.intervals import intervals, resampled
from builder.evaluation.judging import errors_by_activity, judge_flows

LABELS = ("a", "b")


def flows(groups_of, *, seed=0, activities=60):
    """Flows in groups of equal size; all flows of a group are right, or all are wrong."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(activities) % 2, groups_of)
    wrong = np.repeat(rng.random(activities) < 0.2, groups_of)
    return truth, np.where(wrong, 1 - truth, truth), np.repeat(np.arange(activities), groups_of)


def found(truth, answer, groups, seed=0):
    return intervals(resampled(truth, answer, groups, 2, seed=seed), LABELS)


def test_intervals_hold_the_figure_and_depend_on_the_seed_alone():
    truth, answer, groups = flows(3)
    first, same, other = (found(truth, answer, groups, seed) for seed in (1, 1, 2))
    accuracy = float((truth == answer).mean())
    assert first["accuracy"].low < accuracy < first["accuracy"].high
    assert first == same != other
    assert set(first) == {
        "f1_macro", "accuracy", *(f"{m}:{k}" for m in ("precision", "recall", "f1") for k in LABELS)
    }  # fmt: skip


def test_flows_of_one_activity_count_as_one():
    # Standard error of a share .8 of 60 activities: 0.05, so the interval is about 0.2 wide,
    # however many flows each has; taken flow by flow it would be a seventh of that.
    truth, answer, groups = flows(49)
    honest = found(truth, answer, groups)["accuracy"]
    naive = found(truth, answer, np.arange(len(truth)))["accuracy"]
    assert honest.high - honest.low == pytest.approx(0.2, abs=0.05)
    assert naive.high - naive.low < (honest.high - honest.low) / 4


def test_a_class_that_never_occurs_has_no_interval():
    tables = resampled(np.zeros(9, int), np.zeros(9, int), np.arange(9), 2, seed=0)
    assert "recall:b" not in intervals(tables, LABELS)
    assert intervals(tables, LABELS)["f1_macro"].low == 1.0


def test_a_judgement_has_every_side():
    truth, answer, groups = flows(2)
    said = np.where(np.arange(2) == answer[:, None], 0.9, 0.1).astype(np.float32)
    judged = judge_flows(truth, said, groups, LABELS, seed=0)
    assert judged.evaluation.accuracy == pytest.approx((truth == answer).mean())
    assert judged.ece == pytest.approx(abs(0.9 - judged.evaluation.accuracy), abs=1e-6)
    assert {curve.label for curve in judged.curves} == set(LABELS)


def test_errors_are_listed_by_activity():
    truth = np.array([0, 0, 0, 1, 1, 1])
    answer = np.array([1, 1, 0, 0, 1, 0])
    groups = np.array([0, 0, 0, 1, 1, 2])
    errors = errors_by_activity(truth, answer, groups, LABELS, ("run/x", "run/y", ""))
    assert [(e.activity, e.label, e.flows, e.wrong) for e in errors] == [
        ("run/x", "a", 3, 2), ("of no activity", "b", 1, 1), ("run/y", "b", 2, 1),
    ]  # fmt: skip
    assert errors[0].answers == {"b": 2}
