"""The compiled walk down trees; importing it loads numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


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


def _add_vectors(rows: Any, nodes: Any, roots: Any, values: Any, scores: Any) -> None:
    leaves = np.empty(len(rows), dtype=np.int32)
    for root in roots:
        _descend(rows, nodes, root, leaves)
        for row in range(len(rows)):
            for column in range(values.shape[1]):
                scores[row, column] += values[leaves[row], column]


def _add_scalars(  # noqa: PLR0917 - compiled code takes them by place
    rows: Any, nodes: Any, roots: Any, weights: Any, classes: Any, scores: Any
) -> None:
    leaves = np.empty(len(rows), dtype=np.int32)
    for root in roots:
        _descend(rows, nodes, root, leaves)
        for row in range(len(rows)):
            scores[row, classes[leaves[row]]] += weights[leaves[row]]


add_vectors = _compiled(_add_vectors)
add_scalars = _compiled(_add_scalars)
