"""The door to Keras: how it is set up before it is first imported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from topologies.errors import MissingExtraError


def compilation_cache() -> Path:
    """Where compiled networks are kept, for all processes: a shape is compiled once."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "gsta" / "networks"


def load_keras(threads: int = 1) -> Any:
    """Keras, on JAX unless ``KERAS_BACKEND`` names another backend.

    What a process has set up stays so: ``threads`` is heeded by the first call.

    Raises
    ------
    MissingExtraError
        Keras or its backend is not installed.
    """
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(compilation_cache()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "NPROC": str(threads),  # the size of XLA's pool of threads
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # trials share a GPU
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    try:
        import keras
    except ImportError as error:
        raise MissingExtraError(f"Keras with a backend ({error.name})", extra="deep") from error
    return keras
