"""The one door of this package to numba: how the inside of the user-space link is compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit, types

Function = TypeVar("Function", bound=Callable[..., Any])


def _stamp() -> str:
    """Changes with every file that holds compiled functions or the constants they use."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        status = path.stat()
        digest.update(f"{path.name} {status.st_mtime_ns} {status.st_size};".encode())
    return digest.hexdigest()


_STAMP: Final = _stamp()


def compiled(function: Function) -> Function:
    """Compile at the first call, and keep the machine code if there is a folder for that."""
    try:
        dispatcher = njit(function, cache=True, error_model="numpy")
    except RuntimeError:  # numba found no folder that it may write
        return cast(Function, njit(function, error_model="numpy"))
    # numba renews kept code when its own file changes, but not when that of a callee does.
    dispatcher._cache._cache_file._source_stamp = _STAMP
    return cast(Function, dispatcher)


def external(name: str, *arguments: Any) -> Any:
    """A function of the C library that returns an int, for compiled functions to call."""
    return types.ExternalFunction(name, types.intc(*arguments))
