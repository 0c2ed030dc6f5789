"""The compiled walk down trees; importing it loads numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np

FEW: Final = 4  # rows: trees are walked side by side, not rows
BLOCK: Final = 256  # rows that stay in the processor's nearest cache while all trees see them


def _compiled(function: Callable[..., None]) -> Any:
    """Machine code, kept on disk if numba finds a folder to write in."""
    try:
        return numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:
        return numba.njit(function, nogil=True, error_model="numpy")


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _next(rows: Any, row: int, nodes: Any, at: int) -> Any:  # pragma: no cover - compiled
    node = nodes[at]
    return node.child + (rows[row, node.feature] > node.bound)


@numba.njit(nogil=True, error_model="numpy")
def _descend(rows: Any, nodes: Any, root: int, leaves: Any) -> None:  # pragma: no cover
    """The leaf of each row; four rows side by side, for one waits for memory most of the time."""
    count, start = len(rows), 0
    while start + 4 <= count:
        a = b = c = d = root
        while True:
            next_a, next_b = _next(rows, start, nodes, a), _next(rows, start + 1, nodes, b)
            next_c, next_d = _next(rows, start + 2, nodes, c), _next(rows, start + 3, nodes, d)
            if ((next_a ^ a) | (next_b ^ b) | (next_c ^ c) | (next_d ^ d)) == 0:
                break
            a, b, c, d = next_a, next_b, next_c, next_d
        leaves[start], leaves[start + 1], leaves[start + 2], leaves[start + 3] = a, b, c, d
        start += 4
    for row in range(start, count):
        at = root
        while True:
            following = _next(rows, row, nodes, at)
            if following == at:
                break
            at = following
        leaves[row] = at


@numba.njit(nogil=True, error_model="numpy")
def _advance(rows: Any, nodes: Any, at: Any) -> None:  # pragma: no cover - compiled
    """Down one tree with all rows, level by level: ``at`` are their nodes, at the end leaves."""
    while True:
        moved = 0
        for row in range(len(at)):
            following = _next(rows, row, nodes, at[row])
            moved |= following ^ at[row]
            at[row] = following
        if moved == 0:
            return


@numba.njit(nogil=True, error_model="numpy")
def _arrive(rows: Any, row: int, nodes: Any, at: Any) -> None:  # pragma: no cover - compiled
    """Down all trees with one row, level by level: ``at`` are roots, at the end leaves."""
    while True:
        moved = 0
        for tree in range(len(at)):
            following = _next(rows, row, nodes, at[tree])
            moved |= following ^ at[tree]
            at[tree] = following
        if moved == 0:
            return


@numba.njit(nogil=True, error_model="numpy")
def _enter(columns: Any, features: Any, bounds: Any, places: Any) -> None:  # pragma: no cover
    """The first three levels: which of eight nodes each row comes to.

    All seven comparisons are made, each on neighbouring numbers, so in the registers of a vector.
    """
    x0, x1, x2 = columns[features[0]], columns[features[1]], columns[features[2]]
    x3, x4 = columns[features[3]], columns[features[4]]
    x5, x6 = columns[features[5]], columns[features[6]]
    b0, b1, b2, b3 = bounds[0], bounds[1], bounds[2], bounds[3]
    b4, b5, b6 = bounds[4], bounds[5], bounds[6]
    for row in range(len(places)):
        c1, c2 = np.int32(x1[row] > b1), np.int32(x2[row] > b2)
        c3, c4 = np.int32(x3[row] > b3), np.int32(x4[row] > b4)
        c5, c6 = np.int32(x5[row] > b5), np.int32(x6[row] > b6)
        less, more = 2 * c1 + (c4 if c1 else c3), 4 + 2 * c2 + (c6 if c2 else c5)
        places[row] = more if x0[row] > b0 else less


def _add_vectors(rows: Any, nodes: Any, roots: Any, values: Any, scores: Any) -> None:
    if len(rows) <= FEW:
        at = np.empty(len(roots), dtype=np.int32)
        for row in range(len(rows)):
            at[:] = roots
            _arrive(rows, row, nodes, at)
            for tree in range(len(roots)):
                for column in range(values.shape[1]):
                    scores[row, column] += values[at[tree], column]
        return
    leaves = np.empty(len(rows), dtype=np.int32)
    for root in roots:
        _descend(rows, nodes, root, leaves)
        for row in range(len(rows)):
            for column in range(values.shape[1]):
                scores[row, column] += values[leaves[row], column]


def _add_scalars(  # noqa: PLR0917 - compiled code takes them by place
    rows: Any, nodes: Any, roots: Any, tops: Any, weights: Any, classes: Any, scores: Any
) -> None:
    if len(rows) <= FEW:
        at = np.empty(len(roots), dtype=np.int32)
        for row in range(len(rows)):
            at[:] = roots
            _arrive(rows, row, nodes, at)
            for tree in range(len(roots)):
                scores[classes[tree], row] += weights[at[tree]]
        return
    features, bounds, entries = tops
    block = np.empty(BLOCK, dtype=np.int32)
    columns = np.empty((rows.shape[1], BLOCK), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        for row in range(len(part)):
            for feature in range(rows.shape[1]):
                columns[feature, row] = part[row, feature]
        at = block[: len(part)]
        for tree in range(len(roots)):
            _enter(columns, features[tree], bounds[tree], at)
            for row in range(len(part)):
                at[row] = entries[tree, at[row]]
            _advance(part, nodes, at)
            its = scores[classes[tree]]
            for row in range(len(part)):
                its[start + row] += weights[at[row]]


add_vectors = _compiled(_add_vectors)
add_scalars = _compiled(_add_scalars)
