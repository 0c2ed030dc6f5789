"""Whether a flow is unlike anything trained on. Numpy only: a packaged STA asks it every time.

Two signs are taken together: the model is unsure, or the flow lies far from the class that it was
given. Neither is enough: a model may be sure of a class that is merely the nearest one. Its
parameters are plain JSON, learnt by :func:`builder.evaluation.openset.fit_novelty`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats

Reals = npt.NDArray[np.float64]

UNKNOWN: Final = "unknown"  # the answer
STEEPNESS: Final = (0.5, 20.0)  # least and most nats for each e-fold of a score


@dataclass(frozen=True, slots=True)
class Scale:
    """How one sign was distributed over known flows: its ``values`` at ``levels`` of them."""

    levels: tuple[float, ...]  # shares in [0, 1), rising
    values: tuple[float, ...]  # rising

    def surprise(self, scores: Reals) -> Reals:
        """-ln of the share of known flows that had a score as high.

        Beyond the highest score that was seen the share goes on falling as a power of the score,
        as it does from the last tenth to there (peaks over threshold).
        """
        share = 1.0 - np.interp(scores, self.values, self.levels)
        surprise: Reals = -np.log(share)
        highest = self.values[-1]
        if highest > 0:
            surprise = surprise + self._steepness * np.log(np.maximum(scores, highest) / highest)
        return surprise

    @property
    def _steepness(self) -> float:
        highest, tenth = self.values[-1], float(np.interp(0.9, self.levels, self.values))
        if not 0 < tenth < highest or self.levels[-1] <= 0.9:
            return 1.0
        nats = np.log(0.1) - np.log(1.0 - self.levels[-1])
        return float(np.clip(nats / np.log(highest / tenth), *STEEPNESS))


@dataclass(frozen=True, slots=True)
class Space:
    """Where distances are measured: logarithms of the features, made round.

    ``axes`` (base64 of float32 [features, features]) and ``centres`` ([classes, features], after
    the axes) give the Mahalanobis distance of a flow to its class (Lee et al. 2018), with one
    covariance for all classes.
    """

    features: int
    axes: str
    centres: str

    def distance(self, features: Floats, classes: npt.NDArray[np.int64]) -> Reals:
        """Squared distance [n] of raw features [n, f] to the centres of classes [n]."""
        axes = _matrix(self.axes, self.features)
        away = logarithms(features) @ axes - _matrix(self.centres, self.features)[classes]
        squared: Reals = np.square(away, dtype=np.float64).sum(axis=1)
        return squared


@dataclass(frozen=True, slots=True)
class Novelty:
    """The rule by which an answer is ``unknown``.

    ``coverage`` of known flows should keep their answer: ``threshold`` is that quantile of the
    summed surprises of training flows, answered by models that had not seen them (split
    conformal prediction).
    """

    coverage: float
    threshold: float
    doubt: Scale  # of the entropy of the calibrated probabilities
    far: Scale | None = None  # of the distance
    space: Space | None = None

    def surprise(self, probabilities: Floats, features: Floats | None) -> Reals:
        """How unlike the training flows each is: float64 [n], high is strange.

        ``probabilities`` [n, classes] are calibrated, ``features`` [n, f] raw.
        """
        total = self.doubt.surprise(entropy(probabilities))
        if self.space is not None and self.far is not None and features is not None:
            answers = probabilities.argmax(axis=1)
            total = total + self.far.surprise(self.space.distance(features, answers))
        return total

    def unknown(self, probabilities: Floats, features: Floats | None) -> npt.NDArray[np.bool_]:
        """Which flows [n] are to be answered ``unknown``."""
        strange: npt.NDArray[np.bool_] = self.surprise(probabilities, features) > self.threshold
        return strange

    def fits(self, *, features: int, classes: int) -> bool:
        """Whether its sizes are those of a model; what is damaged does not fit."""
        scales = [self.doubt, *([self.far] if self.far else [])]
        if any(len(s.levels) != len(s.values) or not s.levels or max(s.levels) >= 1
               for s in scales):  # fmt: skip
            return False
        if self.space is None:
            return True
        try:
            axes = _matrix(self.space.axes, self.space.features)
            centres = _matrix(self.space.centres, self.space.features)
        except ValueError:
            return False
        return self.space.features == len(axes) == features and len(centres) == classes


def entropy(probabilities: Floats) -> Reals:
    """Entropy of each row, in nats: 0 for a sure answer."""
    known = probabilities.astype(np.float64)
    nats: Reals = -(known * np.log(np.maximum(known, 1e-12))).sum(axis=1)
    return nats


def logarithms(features: Floats) -> Floats:
    """Raw features as logarithms that keep the sign; what is missing counts as -1."""
    filled = np.where(np.isfinite(features), features, np.float32(-1))
    signed: Floats = np.copysign(np.log1p(np.abs(filled)), filled)
    return signed


def packed(matrix: Floats) -> str:
    """A matrix as text."""
    return base64.b64encode(np.ascontiguousarray(matrix, dtype="<f4").tobytes()).decode()


@lru_cache(maxsize=64)
def _matrix(text: str, columns: int) -> Floats:
    matrix: Floats = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    return matrix.reshape(-1, columns)
