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


class Column(NamedTuple):
    """Where a field is in a buffer of columns."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]  # of a record's, its axes turned round
    before: int  # bytes of a record in the buffer before it


class Taken(NamedTuple):
    """Rows to be taken out of an array, and where they are to be among those of all arrays."""

    rows: npt.NDArray[Any]  # [n, m]
    slots: Slots
    places: Slots


def take_fields(parts: Sequence[Taken], dtype: np.dtype[np.generic], records: int = 1) -> Fields:
    """Take rows of bytes, each of some records, out of one array or several: zeros stay behind."""
    steps, columns = _plan(dtype, records)
    count = sum(len(part.slots) for part in parts)
    buffer: Bytes = np.empty(parts[0].rows.shape[1] * count, np.uint8)
    out8, out4, out2, out1 = (buffer.view(f"i{width}") for width in WIDTHS)
    for rows, slots, places in parts:
        rows8, rows4, rows2, rows1 = (rows.view(f"i{width}") for width in WIDTHS)
        collect(
            rows8, rows4, rows2, rows1, slots, places, count, steps, out8, out4, out2, out1
        )  # fmt: skip
    return Fields({name: _column(buffer, where, count) for name, where in columns.items()})


def take_words(parts: Sequence[Taken]) -> Words:
    """Take rows of words out of one array or several: zeros stay behind."""
    out = np.empty((sum(len(part.slots) for part in parts), parts[0].rows.shape[1]), np.uint32)
    for rows, slots, places in parts:
        empty(rows, slots, places, out)
    return out


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
    rows8: Indexed, rows4: Indexed, rows2: Indexed, rows1: Indexed, slots: Slots, places: Slots,
    count: Int, plan: Integers, out8: Indexed, out4: Indexed, out2: Indexed, out1: Indexed,
) -> None:  # fmt: skip
    """Move numbers of each width from the rows [n, m] of these slots to columns; then clear them.

    The rows are the same ones, seen as numbers of 8, 4, 2 and 1 bytes. ``plan`` says for each
    column its width, its place in a row, and how many columns of that width would lie before it.
    A column has ``count`` numbers, and the row's is at the slot's place among them.
    """
    for begin in range(0, len(slots), BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, len(slots))
        for index in range(begin, end):
            for at in range(0, rows1.shape[1], LINE_BYTES):
                prefetch(rows1, np.int64(slots[index]) * rows1.shape[1] + at)
        for step in range(len(plan)):
            width, place = plan[step, 0], np.uint64(plan[step, 1])
            before = np.uint64(plan[step, 2] * count)
            if width == 8:
                for index in range(begin, end):
                    out8[before + _row(places, index)] = rows8[_row(slots, index), place]
            elif width == 4:
                for index in range(begin, end):
                    out4[before + _row(places, index)] = rows4[_row(slots, index), place]
            elif width == 2:
                for index in range(begin, end):
                    out2[before + _row(places, index)] = rows2[_row(slots, index), place]
            elif width == 1:
                for index in range(begin, end):
                    out1[before + _row(places, index)] = rows1[_row(slots, index), place]
        for index in range(begin, end):
            for word in range(rows8.shape[1]):
                rows8[slots[index], word] = 0


@helper
def _row(rows: Slots, index: Int) -> np.uint64:
    """The number of a row, unsigned: none to be counted from the end."""
    return np.uint64(rows[np.uint64(index)])


@compiled
def empty(rows: Words, slots: Slots, places: Slots, out: Words) -> None:
    """Move the rows [n, words] of these slots to their places; what stays behind is zeros."""
    width = rows.shape[1]
    for index in range(len(slots)):
        slot, place = slots[index], places[index]
        for word in range(width):
            out[place, word] = rows[slot, word]
        for word in range(width):
            rows[slot, word] = 0
