"""Finished flows by column: fields of the core's records, and what several features share.

Nothing here needs to silence numpy's warnings: what is unknown is NaN before it is divided by, and
NaN spreads by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from flowmeter.core.layout import Rows

# Per flow [n], or for both sides at once [2, n]: initiator's first.
Column: TypeAlias = npt.NDArray[Any]
Compute: TypeAlias = "Callable[[Columns], Column]"
Made = TypeVar("Made")

UNKNOWN: Final = np.float64(np.nan)


class Columns:
    """A batch of finished flows, seen by column; each column is made once, when first asked for.

    Parameters
    ----------
    rows
        The flows. They must not change while this view of them is in use.

    Examples
    --------
    >>> from flowmeter.core.layout import FLOW, RECENT, SIDE
    >>> sides, none = np.zeros((3, 2), SIDE), np.zeros((3, 0), np.int32)
    >>> rows = Rows(np.zeros(3, FLOW), sides, none, none, none, np.zeros(0, RECENT), np.arange(3))
    >>> Columns(rows).side("packets").shape
    (2, 3)
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._made: dict[object, Any] = {}

    def __len__(self) -> int:
        return len(self.rows.flows)

    def flow(self, field: str) -> Column:
        """A field of FLOW, contiguous [n]."""
        return self._kept(("flow", field), lambda: np.ascontiguousarray(self.rows.flows[field]))

    def side(self, field: str) -> Column:
        """A field of SIDE for both sides, contiguous [2, n]."""
        # One field lies every 400 bytes; gathered once, later arithmetic runs at full speed.
        return self._kept(("side", field), lambda: np.ascontiguousarray(self.rows.sides[field].T))

    def recent(self, field: str) -> Column:
        """A field of RECENT, contiguous [n]."""
        return self._kept(("recent", field), lambda: np.ascontiguousarray(self.rows.recent[field]))

    def payloads(self) -> Column:
        """Payloads of the first packets with any, contiguous [FIRST_PAYLOADS, n]."""
        return self._kept("payloads", lambda: np.ascontiguousarray(self.rows.payloads.T))

    def once(self, make: Callable[[Columns], Made]) -> Made:
        """``make(self)``, made at the first call and remembered."""
        return self._kept(make, lambda: make(self))

    def _kept(self, key: object, make: Callable[[], Made]) -> Made:
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made


def shared(make: Callable[[Columns], Made]) -> Callable[[Columns], Made]:
    """Decorator of what several features need: computed once per batch."""

    def look_up(columns: Columns) -> Made:
        return columns.once(make)

    return look_up


def known(values: Column, condition: Column, *, scale: float = 1.0) -> Column:
    """``values * scale`` where the condition holds, else NaN."""
    return np.where(condition, values * np.float64(scale), UNKNOWN)


def divisor(counts: Column) -> Column:
    """Counts to divide by: NaN where there is nothing to divide."""
    return known(counts, counts > 0)


def flow_field(field: str) -> Compute:
    """A field of FLOW as it is."""
    return lambda columns: columns.flow(field)


def side_field(field: str) -> Compute:
    """A field of SIDE as it is, both sides."""
    return lambda columns: columns.side(field)


def above_zero(field: str) -> Compute:
    """A field of SIDE in which 0 means that there is no value."""
    return lambda columns: divisor(columns.side(field))


def since_start_ms(at_ns: Column, columns: Columns) -> Column:
    """From the flow's first packet to a moment, in ms; NaN where that is below 0 (never came)."""
    return known(at_ns - columns.flow("first_ns"), at_ns >= 0, scale=1e-6)


@shared
def packets(columns: Columns) -> Column:
    """Packets per side, to divide by."""
    return divisor(columns.side("packets"))


@shared
def duration_s(columns: Columns) -> Column:
    """From the first packet to the last."""
    return (columns.flow("last_ns") - columns.flow("first_ns")) * np.float64(1e-9)


@shared
def lasting_s(columns: Columns) -> Column:
    """Durations, to divide by."""
    return divisor(duration_s(columns))
