"""Taking finished flows out of the store: records by row in, columns out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import LINE_BYTES, Bytes, Indexed, Int, Integers, Slots
from flowmeter.core.prefetch import prefetch

Words = npt.NDArray[np.uint32]
WIDTHS: Final = (8, 4, 2, 1)
BLOCK_ROWS: Final = 32  # stay in the nearest cache while field after field is taken out of them


class Fields:
    """Records by field: gives for a field's name what an array of records would.

    In a field of several dimensions it is the first that lies closest in memory, not the last.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def reordered(self, places: npt.NDArray[np.intp]) -> Fields:
        """The records in another order."""
        return Fields({name: column[places] for name, column in self._columns.items()})

    @staticmethod
    def joined(parts: Sequence[Fields]) -> Fields:
        """The records of all parts, one part after the other."""
        names = parts[0]._columns
        return Fields({name: np.concatenate([part[name] for part in parts]) for name in names})


class Column(NamedTuple):
    """Where a field is in a buffer of columns."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]  # of a record's, its axes turned round
    before: int  # bytes of a record in the buffer before it


def take_fields(rows: Bytes, slots: Slots, dtype: np.dtype[np.generic], records: int = 1) -> Fields:
    """Take the rows [n, bytes] of these slots, each of some records, out: zeros stay behind."""
    steps, columns = _plan(dtype, records)
    buffer: Bytes = np.empty(rows.shape[1] * len(slots), np.uint8)
    typed: list[Any] = [(rows.view(f"i{width}"), buffer.view(f"i{width}")) for width in WIDTHS]
    (rows8, out8), (rows4, out4), (rows2, out2), (rows1, out1) = typed
    collect(rows8, rows4, rows2, rows1, slots, steps, out8, out4, out2, out1)
    return Fields({name: _column(buffer, where, len(slots)) for name, where in columns.items()})


def _column(buffer: Bytes, where: Column, count: int) -> npt.NDArray[Any]:
    shape = (*where.shape, count)
    return np.ndarray(shape, where.dtype, buffer, offset=where.before * count).T


@lru_cache
def _plan(dtype: np.dtype[np.generic], records: int) -> tuple[Integers, dict[str, Column]]:
    """What `collect` is to do for rows of so many records, and where their fields are then."""
    columns, steps, before = {}, [], 0
    fields: Any = dtype.fields
    for width in WIDTHS:
        for name, (kind, offset) in fields.items():
            if kind.base.itemsize != width:
                continue
            of_records = (records,) if records > 1 else ()
            columns[name] = Column(kind.base, (*reversed(kind.shape), *of_records), before)
            for item in range(math.prod(kind.shape)):
                for record in range(records):
                    at = record * dtype.itemsize + offset + item * width
                    steps.append((width, at // width, before // width))
                    before += width
    return np.array(steps, np.int64), columns


@compiled
def collect(  # noqa: PLR0912, PLR0917, C901 - compiled; a loop for each width
    rows8: Indexed, rows4: Indexed, rows2: Indexed, rows1: Indexed, slots: Slots, plan: Integers,
    out8: Indexed, out4: Indexed, out2: Indexed, out1: Indexed,
) -> None:  # fmt: skip
    """Move numbers of each width from the rows [n, m] of these slots to columns; then clear them.

    The rows are the same ones, seen as numbers of 8, 4, 2 and 1 bytes. ``plan`` says for each
    column its width, its place in a row, and how many columns of that width would lie before it.
    """
    count = len(slots)
    for begin in range(0, count, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, count)
        for index in range(begin, end):
            for at in range(0, rows1.shape[1], LINE_BYTES):
                prefetch(rows1, np.int64(slots[index]) * rows1.shape[1] + at)
        for step in range(len(plan)):
            width, place, before = plan[step, 0], np.uint64(plan[step, 1]), plan[step, 2] * count
            if width == 8:
                for index in range(begin, end):
                    out8[np.uint64(before + index)] = rows8[_row(slots, index), place]
            elif width == 4:
                for index in range(begin, end):
                    out4[np.uint64(before + index)] = rows4[_row(slots, index), place]
            elif width == 2:
                for index in range(begin, end):
                    out2[np.uint64(before + index)] = rows2[_row(slots, index), place]
            elif width == 1:
                for index in range(begin, end):
                    out1[np.uint64(before + index)] = rows1[_row(slots, index), place]
        for index in range(begin, end):
            for word in range(rows8.shape[1]):
                rows8[slots[index], word] = 0


@helper
def _row(slots: Slots, index: Int) -> np.uint64:
    """The slot, unsigned: no place to be counted from the end."""
    return np.uint64(slots[np.uint64(index)])


@compiled
def empty(rows: Words, slots: Slots, out: Words) -> None:
    """Move the rows [n, words] of these slots to ``out``; what stays behind is zeros."""
    width = rows.shape[1]
    for index in range(len(slots)):
        slot = slots[index]
        for word in range(width):
            out[index, word] = rows[slot, word]
        for word in range(width):
            rows[slot, word] = 0
