"""Trees answering many rows at once: the arrays of a graph's tree ensemble and a compiled walk.

An ONNX runtime is quick for one flow; for thousands, each tree on all rows before the next one
keeps the tree in the processor's cache, as the libraries that grew it do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto
    from onnxruntime import InferenceSession

Whole = npt.NDArray[np.int64]

OPERATOR: Final = "TreeEnsembleClassifier"
# A leaf is a node that is its own child: the walk stays there until the others arrive.
NODE: Final = np.dtype([("feature", np.int32), ("bound", np.float32), ("child", np.int32)])
FEATURES: Final = "features"
SCORES: Final = "tree_scores"


class Tops(NamedTuple):
    """The first three levels of each tree as if all were full: a leaf is its own descendants."""

    features: npt.NDArray[np.int32]  # [trees, 7], level by level
    bounds: Floats  # [trees, 7]
    entries: npt.NDArray[np.int32]  # [trees, 8], the nodes below


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees as arrays. A row goes to ``child`` where its feature is at most ``bound``, else to the
    node after it.

    ``values`` float32 [nodes, width] are what leaves add to the scores; boosted trees have one
    class each, so there it is [nodes, 1] and ``classes`` [trees] says of which.
    """

    nodes: npt.NDArray[np.void]
    roots: npt.NDArray[np.int32]
    tops: Tops
    values: Floats
    classes: npt.NDArray[np.int32] | None
    base: Floats  # [width], the scores before the first tree
    link: str  # from scores to probabilities: NONE, LOGISTIC or SOFTMAX

    def scores(self, features: Floats) -> Floats:
        """What the trees add up to for rows [n, f]: float32 [n, width], before the link."""
        scores = np.zeros((len(features), len(self.base)), dtype=np.float32)
        rows = np.ascontiguousarray(features, dtype=np.float32)
        if self.classes is None:
            _walk("vectors")(rows, self.nodes, self.roots, self.values, scores)
        else:
            weights, by_class = self.values[:, 0], np.zeros(scores.shape[::-1], dtype=np.float32)
            walk, trees = _walk("scalars"), (self.nodes, self.roots, self.tops)
            walk(rows, *trees, weights, self.classes, by_class)
            scores = np.ascontiguousarray(by_class.T)
        scores += self.base
        return scores

    def probabilities(self, features: Floats) -> Floats:
        """Answer for rows [n, f]: float32 [n, width]."""
        scores = self.scores(features)
        if self.classes is not None and len(self.base) == 2:
            chance: Floats = scores[:, 1]
            if self.link == "LOGISTIC":
                chance = np.float32(1) / (np.float32(1) + np.exp(-chance))
            return np.stack([1 - chance, chance], axis=1)
        if self.link == "SOFTMAX":
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=1, keepdims=True)
        return scores


class BulkTrees:
    """What a graph around a tree ensemble answers, the ensemble itself walked by compiled code."""

    def __init__(self, ensemble: Ensemble, tail: InferenceSession | None) -> None:
        self._ensemble, self._tail = ensemble, tail

    def run(self, features: Floats) -> Floats:
        """Probabilities float32 [n, classes] of rows [n, f]."""
        answer = self._ensemble.probabilities(features)
        if self._tail is not None:
            given = {SCORES: answer, FEATURES: features}
            feed = {one.name: given[one.name] for one in self._tail.get_inputs()}
            (answer,) = self._tail.run(None, feed)
        return answer


def bulk_trees(graph: bytes, open_session: Callable[[bytes], InferenceSession]) -> BulkTrees | None:
    """The trees of a serialised graph; None where it holds others, or numba or onnx is missing."""
    if find_spec("numba") is None or find_spec("onnx") is None:
        return None
    import onnx

    model = onnx.load_from_string(graph)
    trees = tree_node(model)
    ensemble = None if trees is None else read_ensemble(trees)
    if trees is None or ensemble is None:
        return None
    tail = _tail(model, trees, len(ensemble.base))
    return BulkTrees(ensemble, open_session(tail) if tail else None)


def tree_node(model: ModelProto) -> NodeProto | None:
    """The one tree ensemble of a graph that has no input but features."""
    trees: list[NodeProto] = [node for node in model.graph.node if node.op_type == OPERATOR]
    if len(trees) != 1 or list(trees[0].input) != [FEATURES] or len(model.graph.input) != 1:
        return None
    return trees[0]


def read_ensemble(node: NodeProto) -> Ensemble | None:
    """The arrays of a tree ensemble; None for a kind that no family exports."""
    from onnx import helper

    said: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    modes = np.array(said["nodes_modes"])
    width, link = len(said["classlabels_int64s"]), said["post_transform"].decode()
    if not set(modes.tolist()) <= {b"LEAF", b"BRANCH_LEQ", b"BRANCH_LT"}:
        return None
    order, child, roots = _layout(said, modes == b"LEAF")
    bound = np.array(said["nodes_values"], dtype=np.float32)
    strict = modes == b"BRANCH_LT"
    bound[strict] = np.nextafter(bound[strict], np.float32(-np.inf))
    bound[modes == b"LEAF"] = np.inf
    nodes = np.zeros(len(order), dtype=NODE)
    nodes["feature"] = np.array(said["nodes_featureids"])[order]
    nodes["bound"], nodes["child"] = bound[order], child
    values, classes = _leaves(said, order, width)
    if classes is not None:
        if len(np.unique(_keys(said["class_treeids"], said["class_ids"]))) > len(roots):
            return None
        classes = np.maximum.reduceat(classes, roots)  # of each tree
    base = np.array(said.get("base_values", [0.0] * width), dtype=np.float32)
    if classes is not None and width == 2:  # one score, of the second class
        if len(np.unique(said["class_ids"])) > 1:
            return None
        classes, base = np.ones(len(roots), dtype=np.int32), np.append(np.float32(0), base[-1])
    if len(base) != width:
        return None
    return Ensemble(nodes, roots, tops_of(nodes, roots), values, classes, base, link)


def _keys(trees: Any, nodes: Any) -> Whole:
    return np.array(trees, dtype=np.int64) << 32 | np.array(nodes, dtype=np.int64)


def _layout(
    said: dict[str, Any], leaf: npt.NDArray[np.bool_]
) -> tuple[Whole, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Nodes tree by tree, each tree level by level: their order, their children and the roots."""
    tree = np.array(said["nodes_treeids"], dtype=np.int64)
    keys = _keys(tree, said["nodes_nodeids"])
    sorter = np.argsort(keys)

    def place(nodes: Any) -> Whole:
        found: Whole = sorter[np.searchsorted(keys, _keys(tree, nodes), sorter=sorter) % len(keys)]
        return found

    pairs = np.stack([place(said["nodes_truenodeids"]), place(said["nodes_falsenodeids"])], axis=1)
    inner = np.ones(len(tree), dtype=np.bool_)
    inner[pairs[~leaf].ravel()] = False
    level = np.flatnonzero(inner)  # nobody's child: a root
    levels = [level]
    while len(level := pairs[level[~leaf[level]]].ravel()):
        levels.append(level)
    found = np.concatenate(levels)
    order = found[np.argsort(tree[found], kind="stable")]
    position = np.empty(len(tree), dtype=np.int32)
    position[order] = np.arange(len(order))
    child = np.where(leaf[order], position[order], position[pairs[order, 0]])
    return order, child.astype(np.int32), np.sort(position[levels[0]])


def tops_of(nodes: npt.NDArray[np.void], roots: npt.NDArray[np.int32]) -> Tops:
    """The first levels; the descendants of place k are at 2 k + 1 and 2 k + 2."""
    at = np.zeros((len(roots), 15), dtype=np.int32)
    at[:, 0] = roots
    for place in range(7):
        here = at[:, place]
        child = nodes["child"][here]
        at[:, 2 * place + 1] = child
        at[:, 2 * place + 2] = np.where(child == here, here, child + 1)
    top = nodes[at[:, :7]]
    features, bounds = np.ascontiguousarray(top["feature"]), np.ascontiguousarray(top["bound"])
    return Tops(features, bounds, np.ascontiguousarray(at[:, 7:]))


def _leaves(
    said: dict[str, Any], order: Whole, width: int
) -> tuple[Floats, npt.NDArray[np.int32] | None]:
    """What leaves add: [nodes, width], or [nodes, 1] and of which class where each has one."""
    keys = _keys(said["nodes_treeids"], said["nodes_nodeids"])[order]
    sorter = np.argsort(keys)
    leaves = _keys(said["class_treeids"], said["class_nodeids"])
    row = sorter[np.searchsorted(keys, leaves, sorter=sorter)]
    column, weight = np.array(said["class_ids"]), np.array(said["class_weights"], dtype=np.float32)
    if len(np.unique(row)) < len(row):
        values = np.zeros((len(order), width), dtype=np.float32)
        values[row, column] = weight
        return values, None
    values, classes = np.zeros((len(order), 1), np.float32), np.zeros(len(order), np.int32)
    values[row, 0], classes[row] = weight, column
    return values, classes


def _tail(model: ModelProto, trees: NodeProto, width: int) -> bytes:
    """What the graph does with the trees' scores, as a graph of its own; empty if nothing."""
    from onnx import ModelProto, TensorProto, helper

    scores = trees.output[1]
    if scores == model.graph.output[0].name:
        return b""
    rest = ModelProto()
    rest.CopyFrom(model)
    graph = rest.graph
    kept = [node for node in graph.node if node.op_type != OPERATOR and scores not in node.output]
    del graph.node[:]
    if not any(FEATURES in node.input for node in kept):
        del graph.input[:]
    for node in kept:
        node.input[:] = [SCORES if name == scores else name for name in node.input]
    graph.node.extend(kept)
    graph.input.append(helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [None, width]))
    serialised: bytes = rest.SerializeToString()
    return serialised


@cache
def _walk(kind: str) -> Any:
    from builder import walking

    return {"vectors": walking.add_vectors, "scalars": walking.add_scalars}[kind]
