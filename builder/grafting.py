"""Tree ensembles put together: given other classes, weighed, joined, and written as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats
from builder.traversal import FEATURES, OPERATOR, Ensemble, Whole, read_ensemble, tops_of, tree_node

DROPPED: Final = -1  # the place of a class that the new task does not have
NEVER: Final = 12.0  # boosting began so far below the largest margin where a class had no row


def ensemble_of(graph: bytes) -> tuple[Ensemble, tuple[int, ...]] | None:
    """The trees of a serialised graph, and which class each of their scores is of; None: others."""
    from onnx import helper, load_from_string

    node = tree_node(load_from_string(graph))
    ensemble = None if node is None else read_ensemble(node)
    if node is None or ensemble is None:
        return None
    said = {a.name: a for a in node.attribute}
    return ensemble, tuple(helper.get_attribute_value(said["classlabels_int64s"]))


def is_forest(ensemble: Ensemble) -> bool:
    """Whether scores are shares that sum to 1, not margins."""
    return ensemble.link == "NONE"


def towards(ensemble: Ensemble, places: Sequence[int], width: int) -> Ensemble:
    """The same for other classes: score k becomes that of class ``places[k]``, or is ``DROPPED``.

    Trees stay as they are; with one class each, those of a dropped one add nothing from now on, and
    neither do those of a class that had no row.
    """
    if ensemble.classes is None or is_forest(ensemble):
        shares = _shares(ensemble)
        values = np.zeros((len(shares), width), dtype=np.float32)
        for score, place in enumerate(places):
            if place != DROPPED:
                values[:, place] += shares[:, score]
        return replace(
            ensemble, values=values, classes=None, base=np.zeros(width, dtype=np.float32)
        )
    base = np.zeros(width, dtype=np.float32)
    known = ensemble.base > ensemble.base.max() - NEVER
    column = np.where(known, np.array(places, dtype=np.int32), DROPPED)
    base[column[column != DROPPED]] = ensemble.base[column != DROPPED]
    classes = column[ensemble.classes]
    sign = np.where(classes == DROPPED, 0, 1)
    if width == 2:  # one margin, that of class 1
        sign = np.where(classes == 0, -1, sign)
        base = np.array([0, base[1] - base[0]], dtype=np.float32)
        classes = np.ones_like(classes)
    values = ensemble.values * sign[_tree_of(ensemble)][:, None].astype(np.float32)
    link = "LOGISTIC" if width == 2 else "SOFTMAX"
    return replace(ensemble, values=values, classes=np.maximum(classes, 0), base=base, link=link)


def weighed(ensemble: Ensemble, weight: float) -> Ensemble:
    """The same with all scores times ``weight``."""
    factor = np.float32(weight)
    return replace(ensemble, values=ensemble.values * factor, base=ensemble.base * factor)


def joined(first: Ensemble, second: Ensemble) -> Ensemble:
    """The trees of both, which have the same classes; their scores add up."""
    late, roots = second.nodes.copy(), second.roots + len(first.nodes)
    late["child"] += len(first.nodes)
    nodes, starts = np.concatenate([first.nodes, late]), np.concatenate([first.roots, roots])
    classes = None
    if first.classes is not None and second.classes is not None:
        classes = np.concatenate([first.classes, second.classes])
    return Ensemble(
        nodes=nodes,
        roots=starts.astype(np.int32),
        tops=tops_of(nodes, starts),
        values=np.concatenate([first.values, second.values]),
        classes=classes,
        base=first.base + second.base,
        link=first.link,
    )


def shares_of(scores: Floats) -> Floats:
    """Scores [n, width] of a forest made to sum to 1, which they do not where classes went."""
    answer: Floats = scores / scores.sum(axis=1, keepdims=True)
    return answer


def written(ensemble: Ensemble, *, columns: int) -> bytes:
    """The graph of an ensemble, from ``features`` [n, columns] to ``probabilities`` [n, width]."""
    from onnx import TensorProto, checker, helper, numpy_helper

    width, kind = len(ensemble.base), TensorProto.FLOAT
    forest = is_forest(ensemble)
    trees = helper.make_node(
        OPERATOR,
        [FEATURES],
        ["label", "scores" if forest else "probabilities"],
        None,
        None,
        "ai.onnx.ml",
        classlabels_int64s=list(range(width)),
        post_transform=ensemble.link,
        **_nodes(ensemble),
        **_weights(ensemble),
    )
    after = [
        helper.make_node("ReduceSum", ["scores", "last"], ["sum"], keepdims=1),
        helper.make_node("Div", ["scores", "sum"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        [trees, *(after if forest else [])],
        "trees",
        [helper.make_tensor_value_info(FEATURES, kind, [None, columns])],
        [helper.make_tensor_value_info("probabilities", kind, [None, width])],
        [numpy_helper.from_array(np.array([1], dtype=np.int64), "last")] if forest else [],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def _shares(ensemble: Ensemble) -> Floats:
    """What the leaves of a forest add to each class, [nodes, width]; of two, one may be written."""
    if ensemble.classes is None:
        return ensemble.values
    leaf = _leaf(ensemble)[:, None]
    rest: Floats = (np.float32(1 / len(ensemble.roots)) - ensemble.values) * leaf
    return np.concatenate([rest, ensemble.values], axis=1)


def _leaf(ensemble: Ensemble) -> npt.NDArray[np.bool_]:
    """Which nodes are leaves: their own children."""
    found: npt.NDArray[np.bool_] = ensemble.nodes["child"] == np.arange(len(ensemble.nodes))
    return found


def _tree_of(ensemble: Ensemble) -> Whole:
    """The tree of each node."""
    found: Whole = np.searchsorted(ensemble.roots, np.arange(len(ensemble.nodes)), "right") - 1
    return found


def _nodes(ensemble: Ensemble) -> dict[str, Any]:
    nodes, tree = ensemble.nodes, _tree_of(ensemble)
    leaf, start = _leaf(ensemble), ensemble.roots[tree]
    down = np.where(leaf, 0, nodes["child"] - start)
    return {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": (np.arange(len(nodes)) - start).tolist(),
        "nodes_featureids": nodes["feature"].tolist(),
        "nodes_values": np.where(leaf, 0, nodes["bound"]).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_truenodeids": down.tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, down + 1).tolist(),
    }


def _weights(ensemble: Ensemble) -> dict[str, Any]:
    every, width = _tree_of(ensemble), len(ensemble.base)
    leaf = np.flatnonzero(_leaf(ensemble))
    tree = every[leaf]
    number = leaf - ensemble.roots[tree]
    if ensemble.classes is None:
        classes = np.tile(np.arange(width), len(leaf))
        tree, number = np.repeat(tree, width), np.repeat(number, width)
    elif width == 2:  # one score: an ONNX runtime takes it as that of the second class
        classes = np.zeros(len(leaf), dtype=np.int64)
    else:
        classes = ensemble.classes[tree].astype(np.int64)
    said = {
        "class_treeids": tree.tolist(),
        "class_nodeids": number.tolist(),
        "class_ids": classes.tolist(),
        "class_weights": ensemble.values[leaf].ravel().tolist(),
    }
    if not is_forest(ensemble):  # with base values an ONNX runtime takes two scores as opposites
        said["base_values"] = ensemble.base[1 if width == 2 else 0 :].tolist()
    return said
