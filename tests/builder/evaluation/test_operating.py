from __future__ import annotations

import numpy as np
import pytest

from builder.decision import EVEN, decide
from builder.evaluation.operating import best_threshold
from builder.metrics import METRICS, confusion


def shy(rows, *, seed=0, share=0.1):
    """A rare class that a model tells well, but is hardly ever sure of."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(rows) < share).astype(np.int64)
    said = np.where(truth == 1, rng.uniform(0.2, 0.6, rows), rng.uniform(0.0, 0.15, rows))
    return truth, np.stack([1 - said, said], axis=1).astype(np.float32)


def score(truth, answer, metric="f1_macro"):
    return METRICS[metric](confusion(truth, answer, 2))


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_a_shy_model_is_believed_sooner(metric):
    truth, said = shy(2000)
    threshold = best_threshold(truth, said, metric=metric)
    assert 0.15 < threshold < 0.2  # in the gap between the classes
    assert score(truth, decide(said, threshold), metric) == 1.0
    assert score(truth, decide(said), metric) < 1.0


def test_no_other_threshold_scores_better():
    rng = np.random.default_rng(1)
    truth = (rng.random(400) < 0.3).astype(np.int64)
    one = np.clip(0.35 + 0.25 * truth + rng.normal(0, 0.15, 400), 0, 1)
    said = np.stack([1 - one, one], axis=1).astype(np.float32)
    found = score(truth, decide(said, best_threshold(truth, said, metric="f1_macro")))
    tried = (decide(said, step) for step in np.linspace(0.01, 0.99, 99))
    assert found >= max(score(truth, answer) for answer in tried)


@pytest.mark.parametrize(
    ("truth", "one"),
    [
        (np.arange(200) % 2, np.arange(200) % 2 * 0.8 + 0.1),  # right as it is
        (np.arange(40) % 2, np.arange(40) % 2 * 0.2 + 0.1),  # too few to tell
        (np.arange(200) % 2, np.full(200, 0.3)),  # says the same of all
    ],
)
def test_without_a_reason_the_likelier_class_is_answered(truth, one):
    said = np.stack([1 - one, one], axis=1).astype(np.float32)
    assert best_threshold(truth, said, metric="f1_macro") == EVEN


def test_a_search_for_the_area_under_the_curve_has_an_operating_point_too():
    truth, said = shy(2000)
    assert best_threshold(truth, said, metric="auroc") == best_threshold(
        truth, said, metric="f1_macro"
    )


def test_of_several_classes_the_likeliest_is_answered():
    said = np.array([[0.2, 0.3, 0.5], [0.5, 0.4, 0.1]], dtype=np.float32)
    assert decide(said, 0.1).tolist() == [2, 0]
    assert decide(said[:0, :2], 0.1).dtype == np.int64
