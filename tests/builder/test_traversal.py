"""Trees walked by compiled code answer as the graph that they come from."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from builder.families import Inputs, Target, families
from builder.serving import BULK_ROWS, OnnxModel, open_session
from builder.space import draw
from builder.traversal import OPERATOR, bulk_trees

TREES = ("extra_trees", "guarded_forest", "one_rule", "random_forest", "xgboost")


def session(graph: bytes):
    return open_session(graph, threads=1)


def exported(name: str, width: int, *, absent: int | None = None):
    rng = np.random.default_rng(3)
    classes = rng.integers(0, width, 1001)
    if absent is not None:
        classes[classes == absent] = 0
    table = np.stack(
        [classes + rng.normal(size=1001), rng.lognormal(3, 3, 1001), rng.integers(0, 4, 1001)],
        axis=1,
    ).astype(np.float32)
    family = families()[name]
    params = draw(family.space, rng)
    model = family.fit(
        Inputs(table), Target("classify", classes, width), params=params, seed=0, threads=1
    )
    return table, model.export()


@pytest.mark.parametrize("width", [2, 3, 7])
@pytest.mark.parametrize("name", TREES)
def test_the_walk_answers_as_the_graph(name, width):
    table, graph = exported(name, width)
    trees = bulk_trees(graph, session)
    assert trees is not None
    table = np.concatenate([table, trees_thresholds(graph, table)])
    expected = OnnxModel(graph).predict(Inputs(table))
    answer = trees.run(table)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(answer.argmax(axis=1), expected.argmax(axis=1))


def trees_thresholds(graph: bytes, table: np.ndarray) -> np.ndarray:
    """Rows that lie exactly on the bounds of the trees, and just beside them."""
    (node,) = [n for n in onnx.load_from_string(graph).graph.node if n.op_type == OPERATOR]
    said = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    bounds, columns = np.float32(said["nodes_values"]), np.array(said["nodes_featureids"])
    rows = np.repeat(table[:1], len(bounds), axis=0)
    rows[np.arange(len(bounds)), columns] = bounds
    beside = rows.copy()
    beside[np.arange(len(bounds)), columns] = np.nextafter(bounds, np.float32(np.inf))
    return np.concatenate([rows, beside])[:: max(1, len(bounds) // 500)]


@pytest.mark.parametrize("name", TREES)
def test_what_the_graph_does_with_the_scores_is_done(name):
    table, graph = exported(name, 5, absent=4)
    trees = bulk_trees(graph, session)
    assert trees is not None
    expected = OnnxModel(graph).predict(Inputs(table))
    assert expected.shape == (1001, 5)
    np.testing.assert_allclose(trees.run(table), expected, atol=1e-6, rtol=0)


def test_a_graph_without_trees_is_left_to_the_runtime():
    _, graph = exported("logistic", 3)
    assert bulk_trees(graph, session) is None


@pytest.mark.parametrize("name", TREES)
def test_a_few_rows_are_answered_as_many_are(name):
    table, graph = exported(name, 3)
    trees = bulk_trees(graph, session)
    assert trees is not None
    few = np.concatenate([trees.run(table[start : start + 3]) for start in range(0, 60, 3)])
    np.testing.assert_allclose(few, trees.run(table)[:60], atol=1e-6, rtol=0)


def test_a_served_model_goes_over_to_the_walk_once_it_has_answered_enough():
    table, graph = exported("random_forest", 3)
    served, rows = OnnxModel(graph), Inputs(table)
    first = served.predict(rows)
    for _ in range(BULK_ROWS // len(table)):
        last = served.predict(rows)
    np.testing.assert_allclose(last, first, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(last, bulk_trees(graph, session).run(table))
