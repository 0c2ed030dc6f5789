"""The open flows: arrays that the compiled loops work on, and how they grow.

Arrays that grow lie in anonymous memory maps: growing moves pages instead of copying them, and rows
never used cost no memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from flowmeter.core.emptying import Taken, take_fields, take_words
from flowmeter.core.layout import (
    FIRST_PAYLOADS,
    FLOW,
    RECENT,
    SEGMENT,
    SIDE,
    Indexed,
    Integers,
    Records,
    Rows,
    Slots,
)

WHEEL_TICKS: Final = 1024
TICK_NS: Final = 10**9
MOST_SEGMENTS: Final = 256  # remembered for one side of a flow
SPARE_SEGMENTS: Final = MOST_SEGMENTS + 2  # more than one packet can use up

ROWS: Final = ("flows", "sides", "words", "gaps", "payloads")  # arrays with a row for each slot

CURSOR: Final = np.dtype(
    [
        ("free", "i8"),
        ("finished", "i8"),
        ("free_segment", "i8"),
        ("spare_segments", "i8"),
        ("clock_ns", "i8"),
        ("turn_ns", "i8"),  # when the wheel is to turn next
        ("tick", "i8"),  # whole seconds of the capture's clock; -1: no packet yet
        # Tstat's search for idle flows, see flowmeter.core.tstat.
        ("scanned_us", "i8"),  # when it was; 0: no packet yet
        ("part", "i8"),  # the next one to be looked at
        ("parts", "i8"),  # how many are to be
        ("parts_left", "i8"),  # without whole rounds
        ("tcp_flows", "i8"),  # begun
        ("udp_flows", "i8"),
    ],
    align=True,
)

LIMITS: Final = np.dtype(
    [
        ("tcp_idle_ns", "i8"),
        ("udp_idle_ns", "i8"),
        ("other_idle_ns", "i8"),
        ("least_ns", "i8"),  # of the above and the linger time
        ("active_ns", "i8"),
        ("linger_ns", "i8"),
        ("single_ns", "i8"),  # Tstat's: flows of one packet, or of SYNs only
        ("tstat", "i8"),  # 1: Tstat's rules
    ],
    align=True,
)


class Store(NamedTuple):
    """What the compiled loops see."""

    table: Integers  # by hash: flows, see `flowmeter.core.hashing.entry`; -1: none
    flows: Indexed  # FLOW [slots]
    sides: Indexed  # SIDE [slots, 2]
    words: npt.NDArray[np.uint32]  # [slots, N], see Rows
    gaps: npt.NDArray[np.float32]
    payloads: npt.NDArray[np.int32]  # [slots, FIRST_PAYLOADS]
    segments: Indexed  # SEGMENT
    wheel: Slots  # first slot of each place of the timer wheel
    free: Slots  # stack of slots to use
    finished: Slots  # stack of slots whose flow has ended
    cursor: Indexed  # CURSOR [1]
    limits: Indexed  # LIMITS [1]


class Growing:
    """An array whose first axis can grow in place."""

    def __init__(self, rows: int, dtype: np.dtype[np.generic], shape: tuple[int, ...] = ()) -> None:
        self._dtype, self._shape = dtype, shape
        self._row_bytes = int(dtype.itemsize * np.prod(shape, dtype=np.int64))
        self._memory = mmap.mmap(
            -1, rows * self._row_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        self._ask_for_large_pages()

    def array(self) -> npt.NDArray[np.generic]:
        """The array; drop it, and every view of it, before `grow`."""
        return np.frombuffer(self._memory, self._dtype).reshape(-1, *self._shape)

    def raw(self, dtype: type[np.unsignedinteger[Any]]) -> npt.NDArray[Any]:
        """The rows as plain numbers."""
        rows = len(self._memory) // self._row_bytes
        return np.frombuffer(self._memory, dtype).reshape(rows, -1)

    def grow(self, rows: int) -> None:
        """Make room for ``rows`` in all; new rows are zeros."""
        self._memory.resize(rows * self._row_bytes)
        self._ask_for_large_pages()

    def _ask_for_large_pages(self) -> None:
        """Rows are looked at all over, so pages would have to be looked up all the time."""
        with suppress(AttributeError, OSError):  # not every kernel has them
            self._memory.madvise(mmap.MADV_HUGEPAGE)


@dataclass
class Memory:
    """Owns the arrays of a `Store`.

    Attributes
    ----------
    store
        The current arrays. `grow_flows` and `grow_segments` replace them; keep no other reference.
    """

    slots: int
    sequence: int
    limits: Records
    recent: bool = False
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        segments = 4 * SPARE_SEGMENTS
        self._growing = {
            "flows": Growing(self.slots, FLOW),
            "sides": Growing(self.slots, SIDE, (2,)),
            "words": Growing(self.slots, np.dtype(np.uint32), (self.sequence,)),
            "gaps": Growing(self.slots, np.dtype(np.float32), (self.sequence,)),
            "payloads": Growing(self.slots, np.dtype(np.int32), (FIRST_PAYLOADS,)),
            "segments": Growing(segments, SEGMENT),
            "free": Growing(self.slots, np.dtype(np.int32)),
            "finished": Growing(self.slots, np.dtype(np.int32)),
            "recent": Growing(self.slots if self.recent else 1, RECENT),
        }
        # Written for every packet: threads whose cursors shared a line would wait for each other.
        cursor: Any = Growing(1, CURSOR).array()
        cursor["tick"] = -1
        cursor["free_segment"] = -1
        self.store = Store(
            table=np.full(2 * self.slots, -1, np.int64),
            wheel=np.full(WHEEL_TICKS, -1, np.int32),
            cursor=cursor,
            limits=self.limits,
            **self._arrays(),
        )
        self._add_free(0)
        self._add_segments(0)

    @property
    def recent_rows(self) -> Records:
        """RECENT [slots], if asked for."""
        return self._growing["recent"].array()  # type: ignore[return-value]

    def grow_flows(self) -> None:
        """Twice the slots; the hash table is empty and must be rebuilt."""
        before, self.slots = self.slots, 2 * self.slots
        self._grow((*ROWS, "free", "finished"), self.slots)
        if self.recent:
            self._growing["recent"].grow(self.slots)
        self.store = self.store._replace(table=np.full(2 * self.slots, -1, np.int64))
        self._add_free(before)

    def grow_segments(self) -> None:
        """Twice the segments."""
        before = len(self.store.segments)
        self._grow(("segments",), 2 * before)
        self._add_segments(before)

    def raw(self, name: str) -> npt.NDArray[Any]:
        """The rows of an array of `ROWS` or ``recent``: records as bytes, others as words."""
        return self._growing[name].raw(np.uint8 if name in {"flows", "sides"} else np.uint32)

    def _grow(self, names: tuple[str, ...], rows: int) -> None:
        without: dict[str, Any] = dict.fromkeys(self._named())
        self.store = self.store._replace(**without)
        for name in names:
            self._growing[name].grow(rows)
        self.store = self.store._replace(**self._arrays())

    def _named(self) -> tuple[str, ...]:
        return tuple(name for name in self._growing if name != "recent")

    def _arrays(self) -> dict[str, Any]:
        return {name: self._growing[name].array() for name in self._named()}

    def _add_free(self, first: int) -> None:
        """Put the slots from ``first`` on under the free ones, the lowest to be used first."""
        store, count = self.store, self.slots - first
        free = int(store.cursor["free"][0])
        store.free[count : count + free] = store.free[:free].copy()
        store.free[:count] = np.arange(self.slots - 1, first - 1, -1)
        store.cursor["free"] = free + count

    def _add_segments(self, first: int) -> None:
        segments, cursor = self.store.segments, self.store.cursor
        segments["next"][first:-1] = np.arange(first + 1, len(segments))
        segments["next"][-1] = cursor["free_segment"][0]
        cursor["free_segment"] = first
        cursor["spare_segments"] += len(segments) - first


def take_rows(memories: Sequence[Memory], slots: Sequence[Slots], places: Sequence[Slots]) -> Rows:
    """Take flows out of memories, each to its place; freed slots are all zeros, as they must be."""
    at = np.empty(sum(map(len, slots)), np.int32)
    for its, places_of in zip(slots, places, strict=True):
        at[places_of] = its

    def parts(name: str) -> list[Taken]:
        held = [memory.raw(name) for memory in memories]
        return [Taken(*part) for part in zip(held, slots, places, strict=True)]

    recent: Any = np.zeros(0, RECENT)
    if memories[0].recent:
        recent = take_words(parts("recent")).view(RECENT).reshape(-1)
    return Rows(
        flows=take_fields(parts("flows"), FLOW),
        sides=take_fields(parts("sides"), SIDE, 2),
        words=take_words(parts("words")),
        gaps=take_words(parts("gaps")).view(np.float32),
        payloads=take_words(parts("payloads")).view(np.int32),
        recent=recent,
        slots=at,
    )
