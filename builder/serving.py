"""An exported model at work. `open_session` is the one place that sets up onnxruntime.

A flow by itself is answered by the runtime. Many are answered in blocks that stay in the
processor's cache; sequences in the order of their lengths, for a block costs what its longest
does; trees by the compiled walk of :mod:`builder.traversal`, once there were flows enough to make
up for loading it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from builder.families.base import Inputs
from builder.preprocess import Floats
from builder.traversal import BulkTrees, bulk_trees

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BULK_ROWS: Final = 4096  # from here on it pays to load what walks trees fast
BLOCK_BYTES: Final = 256 * 1024  # of inputs, for each thread
_ERRORS_ONLY: Final = 3


def open_session(onnx: bytes, *, threads: int) -> InferenceSession:
    """A session on the processor; ``threads`` for one batch, 0 takes every core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


class OnnxModel:
    """Answers as the model that was exported. Input and output as in ``BuildResult.onnx``."""

    def __init__(self, onnx: bytes, *, threads: int = 1) -> None:
        self.session = open_session(onnx, threads=threads)
        self._onnx, self._threads = onnx, threads
        self._names = [value.name for value in self.session.get_inputs()]
        self._asked = 0

    def predict(self, inputs: Inputs) -> Floats:
        """Answer for each row: float32 [n, …]."""
        every = {"features": inputs.features, "sequences": inputs.sequences}
        return self.run({name: part for name in self._names if (part := every[name]) is not None})

    def run(self, feed: Mapping[str, Floats]) -> Floats:
        """Answer float32 [n, …] for inputs by name that all have n rows."""
        count = len(feed[self._names[0]])
        self._asked += count
        if self._asked >= BULK_ROWS and self._trees is not None:
            return self._trees.run(feed["features"])
        row_bytes = sum(part[:1].nbytes for part in feed.values()) or 1
        block = max(1, BLOCK_BYTES * (self._threads or os.cpu_count() or 1) // row_bytes)
        if count <= block:
            return self._run(feed)
        order = np.argsort(_lengths(feed["sequences"])) if "sequences" in feed else None
        parts = []
        for start in range(0, count, block):
            rows = slice(start, start + block) if order is None else order[start : start + block]
            parts.append(self._run({name: part[rows] for name, part in feed.items()}))
        answer = np.concatenate(parts)
        if order is not None:
            answer[order] = answer.copy()
        return answer

    def _run(self, feed: Mapping[str, Floats]) -> Floats:
        answer: Floats = self.session.run(None, dict(feed))[0]
        return answer

    @cached_property
    def _trees(self) -> BulkTrees | None:
        return bulk_trees(self._onnx, lambda graph: open_session(graph, threads=self._threads))


def _lengths(sequences: Floats) -> Floats:
    """Steps up to the last that is not zero throughout: [n]."""
    there = (sequences != 0).any(axis=-1)
    lengths: Floats = (there * np.arange(1, there.shape[1] + 1, dtype=np.float32)).max(axis=1)
    return lengths
