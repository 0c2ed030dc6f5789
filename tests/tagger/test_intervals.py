from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger.intervals import IntervalIndex

GROUPS = st.integers(0, 3)
TIMES = st.integers(-50, 50)
LENGTHS = st.one_of(st.integers(0, 5), st.integers(0, 200), st.integers(0, 2**62))


def column(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@settings(max_examples=300, deadline=None)
@given(
    intervals=st.lists(st.tuples(GROUPS, TIMES, LENGTHS), max_size=30),
    spans=st.lists(st.tuples(st.integers(-1, 3), TIMES, st.integers(0, 60)), max_size=30),
)
def test_the_join_equals_a_comparison_of_everything_with_everything(intervals, spans):
    index = IntervalIndex(
        column([g for g, _, _ in intervals]),
        column([start for _, start, _ in intervals]),
        column([start + length for _, start, length in intervals]),
    )
    span, interval = index.containing(
        column([g for g, _, _ in spans]),
        column([first for _, first, _ in spans]),
        column([first + length for _, first, length in spans]),
    )
    found = list(zip(span.tolist(), interval.tolist(), strict=True))
    expected = [
        (i, j)
        for i, (group, first, duration) in enumerate(spans)
        for j, (other, start, length) in enumerate(intervals)
        if group == other and start <= first and first + duration <= start + length
    ]
    assert sorted(found) == expected


def test_real_times_in_nanoseconds_do_not_overflow():
    start = column([1_700_000_000_000_000_000 + i for i in range(1000)])
    index = IntervalIndex(column([10**6] * 1000), start, start + 10)
    span, interval = index.containing(column([10**6]), start[500:501], start[500:501])
    assert sorted(interval.tolist()) == list(range(490, 501))
    assert set(span.tolist()) == {0}
