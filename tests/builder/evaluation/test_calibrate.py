from __future__ import annotations

import numpy as np
import pytest

from builder.calibration import UNCALIBRATED, Calibration
from builder.evaluation.calibrate import fit_calibration, log_loss
from builder.evaluation.curves import precision_recall, reliability


def answers(rows, sharpness, *, seed=0, width=3):
    """Classes drawn from probabilities, and those probabilities made surer or less sure."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(size=(rows, width)) * 1.5
    honest = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(width, p=row) for row in honest])
    said = np.exp(margins * sharpness)
    return truth, (said / said.sum(axis=1, keepdims=True)).astype(np.float32)


def test_too_sure_a_model_is_cooled_down():
    truth, said = answers(3000, 2.5)
    calibration, losses = fit_calibration(truth, said, np.arange(len(truth)), seed=0)
    assert calibration.method == "temperature"
    assert calibration.temperature == pytest.approx(2.5, rel=0.1)
    after = calibration.apply(said)
    assert log_loss(truth, after) < log_loss(truth, said)
    assert reliability(truth, after)[1] < 0.03 < reliability(truth, said)[1]
    np.testing.assert_array_equal(after.argmax(axis=1), said.argmax(axis=1))
    assert set(losses) == {"none", "temperature", "isotonic"}


def test_a_bent_model_is_straightened_class_by_class():
    truth, said = answers(4000, 1.0, width=2)
    bent = said.copy()
    bent[:, 0] = said[:, 0] ** 6
    bent[:, 1] = 1 - bent[:, 0]
    calibration, _ = fit_calibration(truth, bent, np.arange(len(truth)), seed=0)
    assert calibration.method == "isotonic"
    after = calibration.apply(bent)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)
    assert reliability(truth, after)[1] < 0.05 < reliability(truth, bent)[1]
    assert after.dtype == np.float32


@pytest.mark.parametrize(("rows", "sharpness"), [(3000, 1.0), (40, 2.5)])
def test_what_is_right_or_too_small_to_tell_stays_as_it_is(rows, sharpness):
    truth, said = answers(rows, sharpness)
    calibration, _ = fit_calibration(truth, said, np.arange(rows), seed=0)
    assert calibration == UNCALIBRATED
    assert calibration.apply(said) is said


def test_it_says_whether_it_fits_a_model():
    curve = ((0.0, 0.1), (1.0, 0.9))
    assert Calibration("isotonic", points=(curve, curve)).fits(2)
    assert not Calibration("isotonic", points=(curve, curve)).fits(3)
    assert not Calibration("isotonic", points=(curve, ())).fits(2)
    assert not Calibration("temperature", temperature=0.0).fits(2)


def test_no_rows_are_no_fault():
    none = np.empty((0, 2), dtype=np.float32)
    assert Calibration("temperature", temperature=2.0).apply(none).shape == (0, 2)


def test_reliability_counts_every_flow_once():
    said = np.array([[0.95, 0.05], [0.05, 0.95], [0.55, 0.45], [0.55, 0.45]], dtype=np.float32)
    bins, error = reliability(np.array([0, 1, 0, 1]), said)
    assert [(one.flows, one.accuracy) for one in bins] == [(2, 0.5), (2, 1.0)]
    assert error == pytest.approx(0.05)


def test_a_curve_runs_from_strict_to_lenient():
    truth, said = answers(500, 1.0)
    curves = precision_recall(truth, said, ("a", "b", "c"))
    assert [curve.label for curve in curves] == ["a", "b", "c"]
    for curve in curves:
        assert list(curve.recall) == sorted(curve.recall)
        assert (curve.recall[0], curve.recall[-1]) == (0.0, 1.0)
        assert 0 < curve.average_precision < 1
        assert len(curve.recall) <= 101
    assert [c.label for c in precision_recall(np.zeros(500, int), said, ("a", "b", "c"))] == ["a"]
