"""Trees go on where others ended."""

from __future__ import annotations

import numpy as np
import pytest

from builder.beginning import beginning
from builder.families import Inputs, Target, families
from builder.origin import Origin
from builder.preprocess import fit_preprocessing
from builder.serving import OnnxModel, open_session
from builder.space import draw
from builder.traversal import bulk_trees
from builder.warm_trees import WarmTrees

FAMILIES = ("extra_trees", "random_forest", "xgboost")
LABELS = ("chat", "mail", "voice", "web")
NEW = {
    "as before": LABELS,
    "another order": LABELS[::-1],
    "one is gone, one is new": ("web", "video", "chat"),
    "two": ("web", "mail"),
}


def rows(labels, *, shift: float = 0.0):
    """Rows whose first two columns tell the label; ``shift`` moves them, as a network does."""
    rng = np.random.default_rng(len(labels))
    table = rng.normal(size=(len(labels), 5)).astype(np.float32)
    number = np.array([("chat", "mail", "voice", "web", "video").index(one) for one in labels])
    table[:, 0] += 4 * (number // 2) + shift
    table[:, 1] += 4 * (number % 2) + shift
    return Inputs(table)


def some(labels, count: int, seed: int = 0):
    return np.random.default_rng(seed).choice(labels, count)


def target_of(found, labels) -> Target:
    classes = np.array([labels.index(one) for one in found], dtype=np.int64)
    return Target("classify", classes, len(labels))


def origin_of(name: str, labels=LABELS, *, absent: str = "") -> Origin:
    found = some([one for one in labels if one != absent], 600)
    inputs, target = rows(found), target_of(found, labels)
    params = draw(families()[name].space, np.random.default_rng(0))
    model = families()[name].fit(inputs, target, params=params, seed=0, threads=1)
    steps = fit_preprocessing(inputs.table(), missing="constant")
    columns = tuple("abcde")
    return Origin(
        "old", name, params, model.export(), steps, columns, sequences=False, labels=labels
    )


def grown(origin: Origin, found, labels, *, seed: int = 0, shift: float = 0.0, **params):
    begun = beginning(origin, "nothing").towards(labels)
    params = draw(begun.space, np.random.default_rng(1)) | params
    inputs, target = rows(found, shift=shift), target_of(found, labels)
    return begun.fit(inputs, target, params=params, seed=seed, threads=1)


@pytest.mark.parametrize("labels", NEW.values(), ids=NEW)
@pytest.mark.parametrize("old", [LABELS, LABELS[1:3]], ids=["from four", "from two"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_graph_and_its_bulk_walk_answer_as_the_model(name, old, labels):
    model = grown(origin_of(name, old), some(labels, 120), labels)
    unseen = rows(some(LABELS, 500, seed=3))
    answer = model.predict(unseen)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)
    graph = model.export()
    np.testing.assert_allclose(OnnxModel(graph).predict(unseen), answer, atol=1e-5, rtol=0)
    walked = bulk_trees(graph, lambda tail: open_session(tail, threads=1))
    assert walked is not None
    np.testing.assert_allclose(walked.run(unseen.table()), answer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("labels", NEW.values(), ids=NEW)
@pytest.mark.parametrize("name", FAMILIES)
def test_it_learns_and_classes_keep_their_labels(name, labels):
    model = grown(origin_of(name), some(labels, 200), labels)
    unseen = some(labels, 400, seed=5)
    answer = model.predict(rows(unseen)).argmax(axis=1)
    assert (answer == target_of(unseen, labels).values).mean() > 0.9


@pytest.mark.parametrize("name", FAMILIES)
def test_a_few_rows_are_enough_where_old_trees_know_the_classes(name):
    few = np.repeat(LABELS[:2], 4)
    unseen = some(LABELS, 400, seed=5)
    truth = target_of(unseen, LABELS).values
    warm = grown(origin_of(name), few, LABELS, shift=0.3).predict(rows(unseen, shift=0.3))
    assert (warm.argmax(axis=1) == truth).mean() > 0.8  # voice and web are not among the few


@pytest.mark.parametrize("name", FAMILIES)
def test_a_class_that_the_old_trees_were_not_shown_is_no_trouble(name):
    origin = origin_of(name, absent="mail")
    model = grown(origin, some(LABELS, 200), LABELS, kept=0.1)
    unseen = some(LABELS, 400, seed=5)
    answer = model.predict(rows(unseen)).argmax(axis=1)
    assert (answer == target_of(unseen, LABELS).values).mean() > 0.9


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_seed_gives_the_same_trees_and_they_can_go_on_again(name):
    origin, found = origin_of(name), some(LABELS, 100)
    first, same, other = (grown(origin, found, LABELS, seed=seed) for seed in (1, 1, 2))
    assert first.export() == same.export() != other.export()
    then = Origin(
        "newer", name, {}, first.export(), origin.preprocessing, origin.features,
        sequences=False, labels=LABELS,
    )  # fmt: skip
    again = grown(then, found, LABELS)
    assert len(again.ensemble.roots) > len(first.ensemble.roots) > 0
    assert isinstance(beginning(then, "nothing"), WarmTrees)
    assert beginning(then, "nothing").digest != beginning(origin, "nothing").digest
