"""Which intervals of a span's group contain it: a join by searching, not by scanning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tagger.flows import Int64s


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Intervals of about one length, in order of group and start."""

    rows: Int64s
    keys: Int64s  # group and rank of the start in one number, ascending
    reach_ns: int  # the longest of them


class IntervalIndex:
    """Intervals in groups, arranged so that those that contain a span are found fast.

    Intervals are bucketed by length (powers of four). In one bucket every interval that contains
    a span starts at most the bucket's longest length before the span's end, so two binary searches
    bound the candidates to a few times the answer, however long the longest interval is.

    Parameters
    ----------
    groups
        Group of each interval, 0 or above.
    start_ns, stop_ns
        Its ends, both included; ``stop_ns >= start_ns``.
    """

    def __init__(self, groups: Int64s, start_ns: Int64s, stop_ns: Int64s) -> None:
        self._stop_ns = stop_ns
        self._starts = np.unique(start_ns)
        length = stop_ns - start_ns
        size = np.frexp(length.astype(np.float64))[1] // 2
        rank = np.searchsorted(self._starts, start_ns)
        keys = groups * self._base + rank
        self._buckets = []
        for one_size in np.unique(size):
            rows = np.flatnonzero(size == one_size)
            rows = rows[np.argsort(keys[rows], kind="stable")]
            reach_ns = int(length[rows].max())
            self._buckets.append(_Bucket(rows.astype(np.int64), keys[rows], reach_ns))

    @property
    def _base(self) -> int:
        return len(self._starts) + 1

    def containing(
        self, groups: Int64s, first_ns: Int64s, last_ns: Int64s
    ) -> tuple[Int64s, Int64s]:
        """Pairs (span, interval) with the span inside the interval, ends included.

        A span whose group is -1 has none. The pairs come in no particular order.
        """
        known = np.flatnonzero(groups >= 0).astype(np.int64)
        # In order: to search for ascending numbers is several times faster.
        known = known[np.lexsort((first_ns[known], groups[known]))]
        begins, stops = groups[known] * self._base, last_ns[known]
        latest = begins + np.searchsorted(self._starts, first_ns[known], side="right")
        spans, intervals = [known[:0]], [known[:0]]
        for bucket in self._buckets:
            earliest = begins + np.searchsorted(self._starts, stops - bucket.reach_ns)
            low = np.searchsorted(bucket.keys, earliest)
            high = np.searchsorted(bucket.keys, latest)
            position, place = expand(low, high)
            rows = bucket.rows[place]
            inside = self._stop_ns[rows] >= stops[position]
            spans.append(known[position[inside]])
            intervals.append(rows[inside])
        return np.concatenate(spans), np.concatenate(intervals)


def expand(low: Int64s, high: Int64s) -> tuple[Int64s, Int64s]:
    """Each ``i`` once for every place in ``low[i]:high[i]``, beside that place."""
    count = np.maximum(high - low, 0)
    position = np.repeat(np.arange(len(count)), count)
    offset = np.arange(len(position)) - np.repeat(np.cumsum(count) - count, count)
    return position, low[position] + offset
