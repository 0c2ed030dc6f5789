"""What comes is what was a season, or whole seasons, ago."""

from __future__ import annotations

from typing import Final

from builder.forecast.families.copying import Copying


def columns(past: int, horizon: int) -> tuple[int, ...]:
    """The windows that stand behind the past."""
    return tuple(range(past, past + horizon))


FAMILY: Final = Copying("seasonal_naive", columns)
