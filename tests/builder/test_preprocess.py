from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from builder.drift import quantiles
from builder.preprocess import OneHot, Preprocessing, fit_preprocessing

TRAIN = np.array([[1, np.nan, 5], [3, np.nan, np.inf], [8, np.nan, 7]], dtype=np.float32)
NEW = np.array([[100, 4, np.nan], [-5, np.nan, 6]], dtype=np.float32)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("constant", [[8, -1, -1], [1, -1, 6]]),
        ("median", [[8, -1, 6], [1, -1, 6]]),
        ("median+indicator", [[8, -1, 6, 1], [1, -1, 6, 0]]),
    ],
)
def test_values_are_clipped_to_the_training_range_and_filled(missing, expected):
    steps = fit_preprocessing(TRAIN, missing=missing)
    assert steps.apply(NEW).tolist() == expected
    assert steps.width == len(expected[0])


def test_the_input_is_left_alone():
    copy = NEW.copy()
    fit_preprocessing(TRAIN, missing="median").apply(NEW)
    np.testing.assert_array_equal(NEW, copy)


tables = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)


@given(tables, st.sampled_from(["constant", "median", "median+indicator"]))
def test_json_gives_identical_finite_floats(table, missing):
    steps = fit_preprocessing(table, missing=missing)
    text = json.dumps(steps.to_json(), allow_nan=False)
    again = Preprocessing.from_json(json.loads(text))
    assert again == steps
    done = again.apply(table)
    assert np.isfinite(done).all()
    assert done.tobytes() == steps.apply(table).tobytes()
    assert done.shape == (len(table), steps.width)
    # A column is never touched where it was known: these are the rows it was learnt from.
    known = np.isfinite(table)
    assert (done[:, : table.shape[1]][known] == table[known]).all()


def test_quantiles_leave_missing_values_out_and_fit_json():
    found = quantiles(TRAIN)
    assert found.missing == (0.0, 1.0, pytest.approx(1 / 3))
    assert found.values[0][0] == 1
    assert found.values[0][-1] == 8
    assert found.values[1] == ()
    assert len(found.values[2]) == len(found.probabilities)
    json.dumps(found.values, allow_nan=False)
    assert quantiles(None).values == ()


def test_categories_are_learnt_in_the_fold_and_the_others_share_a_column():
    rng = np.random.default_rng(0)
    numbers = rng.permutation([0] * 10 + [2] * 5 + [3] * 4).astype(np.float32)
    numbers[numbers == 3] = [3, 3, 3, np.nan]
    rows = np.column_stack([numbers, np.arange(19)]).astype(np.float32)
    steps = fit_preprocessing(rows, missing="median+indicator", categorical=[0])
    assert steps.one_hot == (OneHot(0, kept=(0, 2)),)
    assert steps.indicators == ()
    assert Preprocessing.from_json(json.loads(json.dumps(steps.to_json()))) == steps
    seen = steps.apply(np.array([[2, 5], [3, 5], [9, 5], [np.nan, 5]], dtype=np.float32))
    assert seen.shape == (4, steps.width)
    assert seen.tolist() == [[5, 0, 1, 0], [5, 0, 0, 1], [5, 0, 0, 1], [5, 0, 0, 1]]
