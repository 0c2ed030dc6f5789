"""An exported model at work. `open_session` is the one place that sets up onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from builder.families.base import Inputs
from builder.preprocess import Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

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
        self._session = open_session(onnx, threads=threads)
        self._names = [value.name for value in self._session.get_inputs()]

    def predict(self, inputs: Inputs) -> Floats:
        """Answer for each row: float32 [n, …]."""
        every = {"features": inputs.features, "sequences": inputs.sequences}
        feed = {name: every[name] for name in self._names}
        answer: Floats = self._session.run(None, feed)[0]
        return answer
