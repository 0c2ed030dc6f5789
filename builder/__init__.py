"""From a labelled dataset to a judged model: families, search, evaluation.

Names are loaded on first use, so that what a packaged STA needs (:mod:`builder.preprocess`,
:mod:`builder.serving`) comes without pydantic, scikit-learn, XGBoost or Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from builder.config import BuildConfig, FeatureSelection
    from builder.pipeline import build
    from builder.preprocess import Preprocessing
    from builder.ray_runner import RayRunner
    from builder.result import BuildResult, ClassScore, Evaluation, FeatureField, Quantiles, Trial
    from builder.runners import Runner, SerialRunner
    from builder.search import Listener, Progress

_HOME: Final = {
    "BuildConfig": "builder.config",
    "BuildResult": "builder.result",
    "ClassScore": "builder.result",
    "Evaluation": "builder.result",
    "FeatureField": "builder.result",
    "FeatureSelection": "builder.config",
    "Listener": "builder.search",
    "Preprocessing": "builder.preprocess",
    "Progress": "builder.search",
    "Quantiles": "builder.result",
    "RayRunner": "builder.ray_runner",
    "Runner": "builder.runners",
    "SerialRunner": "builder.runners",
    "Trial": "builder.result",
    "build": "builder.pipeline",
}

__all__ = [
    "BuildConfig",
    "BuildResult",
    "ClassScore",
    "Evaluation",
    "FeatureField",
    "FeatureSelection",
    "Listener",
    "Preprocessing",
    "Progress",
    "Quantiles",
    "RayRunner",
    "Runner",
    "SerialRunner",
    "Trial",
    "build",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'builder' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
