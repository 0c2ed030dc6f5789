"""Learning a calibration from out-of-fold answers, and choosing which."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from builder.calibration import FLOOR, Calibration, Method
from builder.families.base import Ints
from builder.preprocess import Floats

METHODS: Final[tuple[Method, ...]] = ("none", "temperature", "isotonic")
PARTS: Final = 3
MIN_ROWS: Final = 60  # of out-of-fold answers; with fewer a calibration is noise
MIN_ISOTONIC: Final = 30  # rows of every class
GAIN: Final = 0.01  # of the log loss, that a calibration has to bring to be worth having


def log_loss(truth: Ints, probabilities: Floats) -> float:
    """Mean of -ln of the true class's probability; 0 is perfect."""
    own = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(own, FLOOR)).mean())


def fit_calibration(
    truth: Ints, probabilities: Floats, groups: Ints, *, seed: int
) -> tuple[Calibration, dict[str, float]]:
    """The calibration with the lowest log loss, and the log loss of each method.

    Each is learnt on two thirds of the activities and judged on the others, in turn, so that the
    more flexible one does not win by memory; the chosen one is then learnt on all of them.

    Parameters
    ----------
    truth, groups
        Class number and activity of each row, [n].
    probabilities
        Answers [n, classes] of models that had not seen the row.
    """
    losses = {"none": log_loss(truth, probabilities)}
    if len(truth) < MIN_ROWS:
        return Calibration(), losses
    part = _parts(groups, seed)
    counts = np.bincount(truth, minlength=probabilities.shape[1])
    for method in METHODS[1:]:
        if method == "isotonic" and counts.min() < MIN_ISOTONIC:
            continue
        judged = np.empty_like(probabilities)
        for number in np.unique(part):
            away = part == number
            learnt = _fit(method, truth[~away], probabilities[~away])
            judged[away] = learnt.apply(probabilities[away])
        losses[method] = log_loss(truth, judged)
    best = min(METHODS, key=lambda method: losses.get(method, np.inf))
    if losses[best] > losses["none"] * (1 - GAIN):
        return Calibration(), losses
    return _fit(best, truth, probabilities), losses


def _parts(groups: Ints, seed: int) -> Ints:
    names, number = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(names)) % PARTS
    part: Ints = dealt[number]
    return part


def _fit(method: Method, truth: Ints, probabilities: Floats) -> Calibration:
    if method == "temperature":
        return _temperature(truth, probabilities)
    return _isotonic(truth, probabilities) if method == "isotonic" else Calibration()


def _temperature(truth: Ints, probabilities: Floats) -> Calibration:
    """As if one more flow had been answered wrong: n right answers do not prove certainty."""
    from scipy.optimize import minimize_scalar

    rows, width = probabilities.shape
    doubt = 1 / (rows + 2)
    targets = np.full((rows, width), doubt / (width - 1))
    targets[np.arange(rows), truth] = 1 - doubt

    def loss(logarithm: float) -> float:
        softened = Calibration("temperature", temperature=float(np.exp(logarithm)))
        said = np.maximum(softened.apply(probabilities), FLOOR).astype(np.float64)
        return float(-(targets * np.log(said)).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded")
    return Calibration("temperature", temperature=round(float(np.exp(found.x)), 6))


def _isotonic(truth: Ints, probabilities: Floats) -> Calibration:
    return Calibration(
        "isotonic",
        points=tuple(
            _steps(probabilities[:, place].astype(np.float64), truth == place)
            for place in range(probabilities.shape[1])
        ),
    )


def _steps(
    said: npt.NDArray[np.float64], hit: npt.NDArray[np.bool_]
) -> tuple[tuple[float, float], ...]:
    """The rising curve through one class's answers; never 0 or 1, for n rows prove neither."""
    from sklearn.isotonic import IsotonicRegression

    curve = IsotonicRegression(out_of_bounds="clip").fit(said, hit.astype(np.float64))
    edge = 1 / (len(said) + 2)
    heights = np.clip(curve.y_thresholds_, edge, 1 - edge)
    return tuple(
        (round(float(x), 7), round(float(y), 7))
        for x, y in zip(curve.X_thresholds_, heights, strict=True)
    )
