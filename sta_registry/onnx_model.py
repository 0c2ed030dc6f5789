"""A graph in memory that has been looked at: from float32 arrays to probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from builder.serving import open_session
from builder.traversal import BulkTrees, bulk_trees

Floats = npt.NDArray[np.float32]
Shape = tuple[int, ...]

OUTPUT = "probabilities"
BULK_ROWS = 4096  # from here on it pays to load what walks trees fast
_ERRORS = (
    ValueError,  # an output that is not there
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OnnxModel:
    """A loaded graph. No operator outside onnxruntime's own set is known to it: it runs no code.

    Parameters
    ----------
    graph
        The bytes of an ONNX file.
    threads
        Threads for one batch; 0 takes every core.

    Raises
    ------
    ValueError
        The bytes are no graph that onnxruntime can run.
    """

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        try:
            self._session = open_session(graph, threads=threads)
        except _ERRORS as error:
            raise ValueError(str(error)) from error
        self._graph, self._threads = graph, threads

    @cached_property
    def _trees(self) -> BulkTrees | None:
        return bulk_trees(self._graph, lambda graph: open_session(graph, threads=self._threads))

    def differences(
        self, inputs: Mapping[str, Shape], *, classes: int
    ) -> Iterator[tuple[str, str]]:
        """What is not as expected, as (expected, got); shapes leave out the batch axis."""
        found = {node.name: tuple(node.shape[1:]) for node in self._session.get_inputs()}
        if found != dict(inputs):
            yield f"inputs {dict(inputs)}", str(found)
            return
        # Converters may leave the output's width open, so ask: one row of zeros.
        zeros = {name: np.zeros((1, *shape), dtype=np.float32) for name, shape in inputs.items()}
        try:
            shape = self.run(zeros).shape
        except _ERRORS as error:
            yield f"an output '{OUTPUT}'", str(error)
            return
        if shape != (1, classes):
            yield f"{classes} probabilities a row", f"{shape[1:]}"

    def run(self, inputs: Mapping[str, Floats]) -> Floats:
        """Probabilities float32 [n, classes] for inputs that all have n rows.

        Trees answer many rows at once without the runtime, in a tenth of the time.
        """
        table = inputs.get("features")
        if table is not None and len(table) >= BULK_ROWS and self._trees is not None:
            return self._trees.run(table)
        (probabilities,) = self._session.run([OUTPUT], dict(inputs))
        return np.asarray(probabilities, dtype=np.float32)
