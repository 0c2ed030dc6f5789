"""Records taken out by field are what an array of them would say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flowmeter.core.emptying import Taken, take_fields, take_words
from flowmeter.core.layout import FLOW, LINE_BYTES, SIDE, Records


def random_records(count: int, records: int, dtype: np.dtype[np.void]) -> Records:
    bytes_ = np.random.default_rng(7).integers(0, 256, count * records * dtype.itemsize, np.uint8)
    made: Records = bytes_.view(dtype).reshape((count, records) if records > 1 else count)
    return made


@pytest.mark.parametrize(("dtype", "records"), [(FLOW, 1), (SIDE, 2)], ids=["flows", "sides"])
@pytest.mark.parametrize("taken", [0, 1, 70])
def test_fields_taken_out(dtype: np.dtype[np.void], records: int, taken: int) -> None:
    store = random_records(100, records, dtype)
    rows = store.view(np.uint8).reshape(100, -1)
    slots = np.random.default_rng(8).permutation(100)[:taken].astype(np.int32)
    before, expected = rows.copy(), store[slots]
    places = np.arange(taken, dtype=np.int32)
    fields = take_fields([Taken(rows, slots, places)], dtype, records)
    assert len(fields) == taken
    for name in dtype.names or ():
        assert fields[name].shape == expected[name].shape
        assert fields[name].tobytes() == expected[name].tobytes(), name
    before[slots] = 0
    assert (rows == before).all()


def parts_of(rows: npt.NDArray[Any]) -> list[Taken]:
    """Rows 3 and 1 of the upper half, and row 2 of the lower one, which comes first."""
    upper, lower = rows[:5], rows[5:]
    slots = [np.array(of, np.int32) for of in ([3, 1], [2])]
    places = [np.array(of, np.int32) for of in ([1, 2], [0])]
    return [Taken(*part) for part in zip((upper, lower), slots, places, strict=True)]


def test_fields_of_several_arrays() -> None:
    store = random_records(9, 2, SIDE)
    expected = store[[7, 3, 1]]
    fields = take_fields(parts_of(store.view(np.uint8).reshape(9, -1)), SIDE, 2)
    for name in SIDE.names or ():
        assert fields[name].tobytes() == expected[name].tobytes(), name


def test_words_of_several_arrays() -> None:
    words = np.arange(27, dtype=np.uint32).reshape(9, 3)
    expected = words.copy()
    assert (take_words(parts_of(words)) == expected[[7, 3, 1]]).all()
    expected[[7, 3, 1]] = 0
    assert (words == expected).all()


def test_records_begin_with_cache_lines() -> None:
    assert FLOW.itemsize % LINE_BYTES == SIDE.itemsize % LINE_BYTES == 0
