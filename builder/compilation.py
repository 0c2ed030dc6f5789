"""One cache of compiled networks for all processes: a shape seen before is not compiled again.

Measured: a seen shape is there in 2 s instead of 17 to 20.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_SETTINGS: Final = {
    "KERAS_BACKEND": "jax",
    # By default only what took a second to compile, or is large, is kept.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    # Trials share a GPU: none may take most of its memory at once.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
_CACHE: Final = "JAX_COMPILATION_CACHE_DIR"
ENVIRONMENT: Final = (*_SETTINGS, _CACHE)


def share_compilations(folder: Path) -> None:
    """Let this process, and those that it starts, keep compiled networks in ``folder``.

    What the user has set is left as it is. Call it before keras or jax is imported.
    """
    for name, value in {**_SETTINGS, _CACHE: str(folder)}.items():
        os.environ.setdefault(name, value)
