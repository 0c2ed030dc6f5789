from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from builder.metrics import METRICS, confusion, evaluate, score

PEERS = {
    "f1_macro": lambda t, a: f1_score(t, a, average="macro"),
    "f1_weighted": lambda t, a: f1_score(t, a, average="weighted"),
    "balanced_accuracy": balanced_accuracy_score,
    "accuracy": accuracy_score,
}


@pytest.fixture(params=[0, 1, 2])
def answers(request):
    rng = np.random.default_rng(request.param)
    truth = rng.integers(0, 4, 200)
    return truth, np.where(rng.random(200) < 0.7, truth, rng.integers(0, 4, 200))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_equal_those_of_scikit_learn(metric, answers):
    table = confusion(*answers, 4)
    np.testing.assert_array_equal(table, confusion_matrix(*answers))
    assert METRICS[metric](table) == pytest.approx(PEERS[metric](*answers), abs=1e-12)


def test_every_metric_has_a_peer():
    assert set(PEERS) == set(METRICS)


def test_the_area_is_of_the_order_and_not_of_where_the_answer_turns(answers):
    truth, _ = answers
    rng = np.random.default_rng(1)
    chances = rng.dirichlet(np.ones(4), 200).round(1).astype(np.float32)
    area = np.mean([roc_auc_score(truth == k, chances[:, k]) for k in range(4)])
    assert score("auroc", truth, chances) == pytest.approx(area)
    assert score("auroc", truth, chances**2) == pytest.approx(area)
    assert score("auroc", np.ones(200, dtype=np.int64), chances) == 0.5
    assert score("accuracy", truth, chances) == np.mean(chances.argmax(axis=1) == truth)


def test_by_group_what_is_common_counts_no_more_than_what_is_rare():
    benign, common, rare = np.full(50, 0.2), np.full(100, 0.9), np.full(2, 0.1)
    chance = np.concatenate([benign, common, rare]).astype(np.float32)
    truth = np.repeat([0, 1], [50, 102])
    groups = np.repeat([7, 7, 8], [50, 100, 2])  # a number tells activities apart in a class only
    chances = np.stack([1 - chance, chance], axis=1)
    assert score("auroc", truth, chances) == pytest.approx(100 / 102)
    assert score("auroc_by_group", truth, chances, groups) == pytest.approx(0.5)
    assert score("auroc_by_group", truth, chances) == score("auroc", truth, chances)


def test_an_evaluation_names_every_class(answers):
    verdict = evaluate(*answers, ("a", "b", "c", "d"))
    peers = precision_recall_fscore_support(*answers)
    for position, (precision, recall, f1, support) in enumerate(zip(*peers, strict=True)):
        score = verdict.classes[position]
        assert score.label == "abcd"[position]
        assert [score.precision, score.recall, score.f1] == pytest.approx([precision, recall, f1])
        assert score.support == support
    assert sum(map(sum, verdict.confusion)) == verdict.flows == 200
    assert verdict.f1_macro == pytest.approx(f1_score(*answers, average="macro"))


def test_a_class_that_is_nowhere_does_not_count():
    table = confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert METRICS["f1_macro"](table) == pytest.approx(2 / 3)


def test_a_class_that_is_never_answered_scores_zero_without_a_warning():
    verdict = evaluate(np.array([0, 1]), np.array([0, 0]), ("a", "b"))
    assert (verdict.classes[1].precision, verdict.classes[1].f1) == (0.0, 0.0)
