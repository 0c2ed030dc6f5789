"""Probabilities that mean what they say. Numpy only: a packaged STA applies it to every answer.

Its parameters are plain JSON, learnt from out-of-fold answers by
:func:`builder.evaluation.calibrate.fit_calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from builder.preprocess import Floats

Method = Literal["none", "temperature", "isotonic"]
FLOOR: Final = 1e-6  # a forest's zero is "never seen", not "impossible"


@dataclass(frozen=True, slots=True)
class Calibration:
    """From a model's probabilities to calibrated ones.

    ``temperature`` divides the logarithms (Guo et al. 2017): above 1 makes less sure, below 1
    surer, and the answer never changes. ``isotonic`` maps each class's probability by a rising
    step function through ``points[class]`` = (x, y) pairs (Zadrozny and Elkan 2002).

    Examples
    --------
    >>> import numpy as np
    >>> softer = Calibration("temperature", temperature=2.0)
    >>> softer.apply(np.array([[0.9, 0.1]], dtype=np.float32)).round(2).tolist()
    [[0.75, 0.25]]
    """

    method: Method = "none"
    temperature: float = 1.0
    points: tuple[tuple[tuple[float, float], ...], ...] = ()

    def apply(self, probabilities: Floats) -> Floats:
        """Calibrate float32 [n, classes]; rows of the answer sum to 1."""
        if self.method == "none" or not len(probabilities):
            return probabilities
        known = probabilities.astype(np.float64)
        if self.method == "temperature":
            powers = np.log(np.maximum(known, FLOOR)) / self.temperature
            mapped = np.exp(powers - powers.max(axis=1, keepdims=True))
        else:
            mapped = np.empty_like(known)
            for place, pairs in enumerate(self.points):
                x, y = zip(*pairs, strict=True)
                mapped[:, place] = np.interp(known[:, place], x, y)
        calibrated: Floats = (mapped / mapped.sum(axis=1, keepdims=True)).astype(np.float32)
        return calibrated

    def fits(self, classes: int) -> bool:
        """Whether it can be applied to a model of so many classes."""
        if self.method != "isotonic":
            return self.temperature > 0
        return len(self.points) == classes and all(self.points)


UNCALIBRATED: Final = Calibration()
