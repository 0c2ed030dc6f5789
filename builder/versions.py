"""Versions of what a model depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

LIBRARIES: Final = (
    "jax",
    "keras",
    "numba",
    "numpy",
    "onnx",
    "onnxmltools",
    "onnxruntime",
    "ray",
    "scikit-learn",
    "shap",
    "skl2onnx",
    "xgboost-cpu",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries, by distribution name."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
