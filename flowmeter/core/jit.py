"""The one door to numba: how the meter's inner loops are compiled and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def _stamp() -> str:
    """Changes with every file that holds compiled functions or the constants they use."""
    package = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted([*package.glob("core/*.py"), *package.glob("input/*.py")]):
        status = path.stat()
        digest.update(f"{path.name} {status.st_mtime_ns} {status.st_size};".encode())
    return digest.hexdigest()


STAMP: Final = _stamp()


def helper(function: Function) -> Function:
    """For a function that only compiled ones call: it becomes a part of theirs.

    Leaving out what Python would need to call it saves a third of the compile time.
    """
    # numba's own types do not know these options.
    unneeded: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    return cast(Function, njit(function, error_model="numpy", nogil=True, **unneeded))


def compiled(function: Function) -> Function:
    """Compile at the first call and keep the machine code for later processes.

    numba keeps it beside the source, else in the user's cache folder (``NUMBA_CACHE_DIR`` names
    another). Where none can be written each process compiles anew: slower, never an error.
    """
    try:
        dispatcher = njit(function, cache=True, error_model="numpy", nogil=True)
    except RuntimeError:  # numba found no folder that it may write
        return cast(Function, njit(function, error_model="numpy", nogil=True))
    # numba renews kept code when its own file changes, but not when a helper's does.
    dispatcher._cache._cache_file._source_stamp = STAMP
    return cast(Function, dispatcher)
