from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from pydantic import TypeAdapter

from builder.calibration import UNCALIBRATED
from builder.evaluation.crossing import Crossed, Side
from builder.evaluation.openset import fit_novelty
from builder.families.base import Inputs
from builder.novelty import Novelty, Scale

CENTRES = np.array([[2.0, 2.0, 8.0], [8.0, 2.0, 2.0], [2.0, 8.0, 2.0]])


def flows(rows, *, seed, centre=None):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, rows)
    middle = CENTRES[classes] if centre is None else np.asarray(centre)
    return np.exp(middle + 0.4 * rng.normal(size=(rows, 3))).astype(np.float32), classes


def sure_of_the_nearest(features):
    """A model that is sure of whatever is nearest, as networks are."""
    distances = np.square(np.log(features)[:, None] - CENTRES).sum(axis=2)
    said = np.full(distances.shape, 0.005, dtype=np.float32)
    said[np.arange(len(said)), distances.argmin(axis=1)] = 0.99
    return said


@pytest.fixture(scope="module")
def rule():
    features, classes = flows(1500, seed=0)
    part = np.arange(len(features)) % 3
    sides = [
        Side(None, np.flatnonzero(part != k), np.flatnonzero(part == k),
             sure_of_the_nearest(features[part == k]))
        for k in range(3)
    ]  # fmt: skip
    return fit_novelty(
        Crossed(tuple(sides)), Inputs(features), classes,
        width=3, calibration=UNCALIBRATED, coverage=0.95,
    )  # fmt: skip


def test_known_flows_keep_their_answer_as_often_as_promised(rule):
    features, _ = flows(4000, seed=1)
    unknown = rule.unknown(sure_of_the_nearest(features), features)
    # 1,500 calibration rows: the coverage has a standard deviation of 0.006.
    assert unknown.mean() == pytest.approx(0.05, abs=0.03)


def test_strangers_are_unknown_however_sure_the_model_is(rule):
    strangers, _ = flows(300, seed=2, centre=[8.0, 8.0, 8.0])
    said = sure_of_the_nearest(strangers)
    assert said.max(axis=1).min() > 0.98
    assert rule.unknown(said, strangers).mean() > 0.95


def test_doubt_alone_can_do_it_and_is_all_there_is_without_features(rule):
    features, _ = flows(50, seed=3)
    unsure = np.full((50, 3), 1 / 3, dtype=np.float32)
    assert (
        rule.surprise(unsure, features).min()
        > rule.surprise(sure_of_the_nearest(features), features).min()
    )
    assert rule.unknown(unsure, None).shape == (50,)
    assert rule.unknown(np.empty((0, 3), np.float32), np.empty((0, 3), np.float32)).shape == (0,)


def test_missing_values_are_no_fault(rule):
    features, _ = flows(5, seed=4)
    features[0, 0] = np.nan
    assert np.isfinite(
        rule.surprise(sure_of_the_nearest(np.nan_to_num(features, nan=1)), features)
    ).all()


def test_it_is_json_and_comes_back_the_same(rule):
    text = json.dumps(asdict(rule))
    again = TypeAdapter(Novelty).validate_json(text)
    features, _ = flows(100, seed=5)
    said = sure_of_the_nearest(features)
    np.testing.assert_array_equal(rule.surprise(said, features), again.surprise(said, features))
    assert again.fits(features=3, classes=3)
    assert not again.fits(features=4, classes=3)
    assert not again.fits(features=3, classes=2)


def test_a_damaged_rule_does_not_fit(rule):
    from dataclasses import replace

    broken = replace(rule, space=replace(rule.space, axes="no base64!"))
    assert not broken.fits(features=3, classes=3)
    assert not replace(rule, doubt=Scale((0.0, 1.0), (0.0, 1.0))).fits(features=3, classes=3)
    assert not replace(rule, doubt=Scale((), ())).fits(features=3, classes=3)
