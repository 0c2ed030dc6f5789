"""A model as a customer gets it: preprocessing, exported graph, calibration, operating point."""

from __future__ import annotations

from dataclasses import dataclass, replace

from builder.calibration import UNCALIBRATED, Calibration
from builder.decision import EVEN, decide
from builder.families.base import Inputs, Ints
from builder.objective import Fitted
from builder.preprocess import Floats
from builder.serving import OnnxModel


@dataclass(frozen=True, slots=True)
class Shipped:
    """Answers as the packaged STA will."""

    fitted: Fitted
    onnx: bytes
    model: OnnxModel
    calibration: Calibration = UNCALIBRATED
    threshold: float = EVEN

    @classmethod
    def export(cls, fitted: Fitted) -> Shipped:
        """Export a trained model."""
        onnx = fitted.model.export()
        return cls(fitted, onnx, OnnxModel(onnx))

    def tuned(self, calibration: Calibration, threshold: float) -> Shipped:
        """The same model with a calibration and an operating point."""
        return replace(self, calibration=calibration, threshold=threshold)

    def __call__(self, raw: Inputs) -> Floats:
        """Probabilities float32 [n, classes] for raw inputs."""
        return self.calibration.apply(self.model.predict(self.fitted.prepare(raw)))

    def answer(self, raw: Inputs) -> Ints:
        """Class numbers [n] for raw inputs."""
        return decide(self(raw), self.threshold)
