"""A hint to the processor, for compiled functions."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from flowmeter.core.layout import Indexed, Int


class Prefetch:
    """``prefetch(memory, at)`` asks for the line of a record's or an array's byte ``at``."""

    __name__ = "prefetch"

    @cached_property
    def _numba_type_(self) -> Any:
        """What numba takes it for when it meets it in a function."""
        from flowmeter.core.hinting import prefetching

        return prefetching()

    def __call__(self, memory: Indexed, at: Int) -> None:
        """Nothing, outside of compiled functions."""


prefetch: Final = Prefetch()
