"""The one door to numba: how the meter's inner loops are compiled and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call and keep the machine code for later processes.

    numba keeps it beside the source, else in the user's cache folder (``NUMBA_CACHE_DIR`` names
    another). Where none can be written each process compiles anew: slower, never an error.

    The kept code is renewed when its own file changes, not when an imported constant or helper
    does. So a compiled function calls helpers of its own file only, and layouts travel as dtypes,
    which are part of the key.
    """
    try:
        return cast(Function, njit(function, cache=True, error_model="numpy", nogil=True))
    except RuntimeError:  # numba found no folder that it may write
        return cast(Function, njit(function, error_model="numpy", nogil=True))
