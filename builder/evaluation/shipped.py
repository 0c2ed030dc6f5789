"""A model as a customer gets it: preprocessing, the exported graph, the calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace

from builder.calibration import UNCALIBRATED, Calibration
from builder.families.base import Inputs
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

    @classmethod
    def export(cls, fitted: Fitted) -> Shipped:
        """Export a trained model."""
        onnx = fitted.model.export()
        return cls(fitted, onnx, OnnxModel(onnx))

    def calibrated(self, calibration: Calibration) -> Shipped:
        """The same model with a calibration."""
        return replace(self, calibration=calibration)

    def __call__(self, raw: Inputs) -> Floats:
        """Probabilities float32 [n, classes] for raw inputs."""
        return self.calibration.apply(self.model.predict(self.fitted.prepare(raw)))
