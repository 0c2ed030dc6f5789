"""Records taken out by field are what an array of them would say."""

from __future__ import annotations

import numpy as np
import pytest

from flowmeter.core.emptying import Fields, take_fields
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
    fields = take_fields(rows, slots, dtype, records)
    assert len(fields) == taken
    for name in dtype.names or ():
        assert fields[name].shape == expected[name].shape
        assert fields[name].tobytes() == expected[name].tobytes(), name
    before[slots] = 0
    assert (rows == before).all()


def test_fields_of_several_parts_in_another_order() -> None:
    store = random_records(9, 2, SIDE)
    expected = store.copy()
    rows = store.view(np.uint8).reshape(9, -1)
    parts = [take_fields(rows, np.array(slots, np.int32), SIDE, 2) for slots in ([3, 1], [8])]
    woven = Fields.joined(parts).reordered(np.array([2, 0, 1]))
    for name in SIDE.names or ():
        assert woven[name].tobytes() == expected[[8, 3, 1]][name].tobytes(), name


def test_records_begin_with_cache_lines() -> None:
    assert FLOW.itemsize % LINE_BYTES == SIDE.itemsize % LINE_BYTES == 0
