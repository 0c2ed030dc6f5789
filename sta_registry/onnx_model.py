"""A graph in memory that has been looked at: from float32 arrays to probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from builder import serving

Floats = npt.NDArray[np.float32]
Shape = tuple[int, ...]

OUTPUT = "probabilities"
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
            self._model = serving.OnnxModel(graph, threads=threads)
        except _ERRORS as error:
            raise ValueError(str(error)) from error

    def differences(
        self, inputs: Mapping[str, Shape], *, classes: int
    ) -> Iterator[tuple[str, str]]:
        """What is not as expected, as (expected, got); shapes leave out the batch axis."""
        session = self._model.session
        found = {node.name: tuple(node.shape[1:]) for node in session.get_inputs()}
        if found != dict(inputs):
            yield f"inputs {dict(inputs)}", str(found)
            return
        # Converters may leave the output's width open, so ask: one row of zeros.
        zeros = {name: np.zeros((1, *shape), dtype=np.float32) for name, shape in inputs.items()}
        try:
            (answer,) = session.run([OUTPUT], zeros)
        except _ERRORS as error:
            yield f"an output '{OUTPUT}'", str(error)
            return
        if answer.shape != (1, classes):
            yield f"{classes} probabilities a row", f"{answer.shape[1:]}"

    def run(self, inputs: Mapping[str, Floats]) -> Floats:
        """Probabilities float32 [n, classes] for inputs that all have n rows."""
        return np.asarray(self._model.run(inputs), dtype=np.float32)
