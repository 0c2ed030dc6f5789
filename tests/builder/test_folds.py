from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.folds import plan_validation
from builder.units import coarser_units, named_groups

LABELS = ("a", "b", "c")


def plan(classes, groups, **options):
    options = {"folds": 3, "seed": 0, "labels": LABELS} | options
    return plan_validation(np.asarray(classes), np.asarray(groups), **options)


def activities(counts, size):
    """Classes and groups of rows: ``counts[k]`` activities of class k with ``size`` rows each."""
    classes = np.repeat(np.repeat(np.arange(len(counts)), counts), size)
    return classes, np.repeat(np.arange(sum(counts)), size)


@given(
    st.lists(st.integers(2, 9), min_size=3, max_size=3),
    st.integers(1, 7),
    st.integers(2, 5),
    st.integers(0, 99),
)
def test_no_activity_is_on_both_sides_and_every_row_validates_once(counts, size, folds, seed):
    classes, groups = activities(counts, size)
    found = plan(classes, groups, folds=folds, seed=seed)
    seen = np.concatenate([fold.valid for fold in found.folds])
    assert sorted(seen) == list(range(len(classes)))
    for fold in found.folds:
        assert not set(groups[fold.train]) & set(groups[fold.valid])
        assert len(fold.train) + len(fold.valid) == len(classes)
        assert set(classes[fold.valid]) == set(classes[fold.train]) == {0, 1, 2}


def test_folds_are_stratified():
    classes, groups = activities([30, 60, 9], 4)
    for fold in plan(classes, groups).folds:
        assert np.bincount(classes[fold.valid]).tolist() == [40, 80, 12]


def test_the_seed_decides():
    classes, groups = activities([30, 60, 9], 4)
    first, same, other = (plan(classes, groups, seed=seed).folds[0].valid for seed in (1, 1, 2))
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()


def test_too_few_activities_lower_the_folds_and_it_is_said():
    classes, groups = activities([9, 2, 5], 3)
    found = plan(classes, groups, folds=5)
    assert len(found.folds) == 2
    assert found.method == "2 folds, grouped by activity"
    assert found.notes == ("2 folds instead of 5: a class has only 2 activities",)


def test_a_class_of_one_activity_is_split_by_row_and_it_is_said():
    classes, groups = activities([9, 1, 5], 6)
    found = plan(classes, groups)
    assert len(found.folds) == 3
    assert found.notes == ("one activity only, so its flows are on both sides of validation: b",)
    for fold in found.folds:
        assert np.bincount(classes[fold.valid])[1] == 2
        kept = classes[fold.train] != 1
        assert not set(groups[fold.train][kept]) & set(groups[fold.valid])


def test_from_the_threshold_up_one_row_in_a_hundred_validates():
    rng = np.random.default_rng(0)
    classes, groups = activities([1000, 700, 300], 5)
    order = rng.permutation(len(classes))
    classes, groups = classes[order], groups[order]
    found = plan(classes, groups, holdout_from_rows=10_000)
    (fold,) = found.folds
    assert found.method == "99/1 split, grouped by activity"
    assert np.bincount(classes[fold.valid]).tolist() == [50, 35, 15]
    assert not set(groups[fold.train]) & set(groups[fold.valid])
    assert len(plan(classes, groups, holdout_from_rows=10_001).folds) == 3


def test_one_huge_activity_does_not_become_the_validation_set():
    classes = np.array([0] * 500 + [0] * 10 + [1] * 500 + [1] * 8)
    groups = np.array([0] * 500 + [1] * 10 + [2] * 500 + [3] * 8)
    (fold,) = plan(classes, groups, labels=("a", "b"), holdout_from_rows=1000).folds
    assert np.bincount(classes[fold.valid]).tolist() == [10, 8]


def test_the_real_threshold_is_200_000_and_that_many_rows_are_quick():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 200_000)
    groups = np.arange(200_000)
    start = time.process_time()
    assert len(plan(classes, groups).folds) == 1
    assert len(plan(classes[:-1], groups[:-1]).folds) == 3
    assert time.process_time() - start < 20


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_an_activity_of_two_classes_stays_whole(folds):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    classes = rng.integers(0, 3, 200)
    for fold in plan(classes, groups, folds=folds).folds:
        assert not set(groups[fold.train]) & set(groups[fold.valid])


def test_hosts_stay_whole_where_every_class_is_on_enough_of_them():
    classes, groups = activities([12, 12, 12], 4)
    hosts = groups % 6
    found = plan(classes, groups, units={"run": np.zeros_like(groups), "host": hosts})
    assert found.method == "3 folds, grouped by host"
    assert sorted(np.concatenate([fold.valid for fold in found.folds])) == list(range(len(classes)))
    for fold in found.folds:
        assert not set(hosts[fold.train]) & set(hosts[fold.valid])
        assert set(classes[fold.valid]) == set(classes[fold.train]) == {0, 1, 2}


def test_runs_come_before_hosts_and_activities_after():
    classes, groups = activities([12, 12, 12], 4)
    units = {"run": groups % 3, "host": groups % 6}
    assert plan(classes, groups, units=units).method == "3 folds, grouped by run"
    lonely = np.where(classes == 1, 0, groups % 6)  # one class is on one host only
    assert plan(classes, groups, units={"host": lonely}).method == "3 folds, grouped by activity"


def test_a_host_is_that_of_most_flows_of_an_activity():
    groups = np.array([0, 0, 0, 1, 1, 2])
    runs = np.array(["x"] * 5 + ["y"], dtype=object)
    sources = np.array(["a", "a", "b", "b", "b", "a"], dtype=object)
    found = coarser_units(runs, sources, groups)
    assert found["run"].tolist() == [0, 0, 0, 0, 0, 1]
    assert len(set(found["host"][:3])) == 1
    assert len(set(found["host"])) == 3  # an address in another run is another host
    numbers, names = named_groups(["p", None, "p", "q"])
    assert numbers.tolist()[0] == numbers.tolist()[2]
    assert [names[n] for n in numbers] == ["p", "", "p", "q"]
