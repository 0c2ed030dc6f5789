"""What one side of a TCP connection sent, segment by segment: what was repeated, late, or lost.

The sequence space is kept as a list of segments in order; acknowledged neighbours become one. The
anomalies are told apart by the rules of M. Mellia, M. Meo, L. Muscariello, "TCP anomalies:
identification and analysis" (2005), which Tstat uses too. An IP identification of 0 tells nothing
(IPv6 has none, many hosts send 0) and is taken as a different one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowmeter.core.jit import helper
from flowmeter.core.layout import Indexed, Int, Record
from flowmeter.core.store import MOST_SEGMENTS

IN_SEQUENCE, RTO, FAST, REORDERED, DUPLICATE = 0, 1, 2, 3, 4
WINDOW_PROBE, UNNEEDED_RTO, UNNEEDED_FAST, UNKNOWN = 5, 6, 7, 8
# Results of `send`: the count of bytes seen before is shifted above these bits.
LATE, FIRST_SEEN, LAST_SEEN = 1, 2, 4
SHIFT = 3

RTO_LEAST_NS, RTT_LEAST_NS = 100_000_000, 1_000_000
RTO_UNKNOWN_NS, RTT_UNKNOWN_NS = 500_000_000, 5_000_000


@helper
def send(  # noqa: PLR0917 - compiled
    side: Record, other: Record, segments: Indexed, cursor: Record,
    begin: Int, end: Int, ip_id: Int, now_ns: Int,
) -> Int:  # fmt: skip
    """Take the bytes from ``begin`` to ``end``; what of them was seen before, with flags."""
    first, last = begin, end
    seen = flags = 0
    node = np.int64(side.head)
    if side.tail >= 0 and begin >= segments[side.tail].end:
        node = np.int64(-1)  # the common case: they follow all others
    while node >= 0 and begin < end:
        segment = segments[node]
        if begin < segment.end:
            if begin < segment.begin:
                if end < segment.end:
                    flags |= LATE
                stop = min(end, segment.begin)
                _fill(side, other, segments, cursor, begin, stop, node, ip_id, now_ns)
                begin = stop
            if begin < end:
                stop = min(end, segment.end)
                _repeat(side, other, segments, node, stop - begin, ip_id, now_ns)
                seen += stop - begin
                flags |= FIRST_SEEN * (begin == first) | LAST_SEEN * (stop == last)
                begin = stop
        node = np.int64(segment.next)
    if begin < end:
        _insert(side, segments, cursor, begin, end, np.int64(-1), ip_id, now_ns)
        if side.segments > MOST_SEGMENTS:
            oldest = np.int64(side.head)
            segments[segments[oldest].next].begin = segments[oldest].begin
            _remove(side, segments, cursor, oldest)
    return seen << SHIFT | flags


@helper
def _fill(  # noqa: PLR0917 - compiled
    side: Record, other: Record, segments: Indexed, cursor: Record,
    begin: Int, end: Int, node: Int, ip_id: Int, now_ns: Int,
) -> None:  # fmt: skip
    """Bytes not seen before, which belong before a segment that was."""
    before = np.int64(segments[node].before)
    fresh = _insert(side, segments, cursor, begin, end, node, ip_id, now_ns)
    waited_ns = np.int64(-1)
    if before >= 0:
        waited_ns = now_ns - segments[before].time_ns
    segments[fresh].kind = _classify(
        side, other, segments, node, before, end - begin, ip_id, np.int64(0), waited_ns, now_ns
    )


@helper
def _repeat(  # noqa: PLR0917 - compiled
    side: Record, other: Record, segments: Indexed, node: Int, length: Int, ip_id: Int, now_ns: Int
) -> None:
    """Bytes of a segment that was seen before."""
    segment = segments[node]
    waited_ns = now_ns - segment.time_ns
    segment.time_ns = now_ns
    if segment.sent_again < 255:
        segment.sent_again += 1
    before = np.int64(segment.before)
    segment.kind = _classify(
        side, other, segments, node, before, length, ip_id, np.int64(1), waited_ns, now_ns
    )


@helper
def acknowledge(side: Record, segments: Indexed, cursor: Record, ack: Int, now_ns: Int) -> None:
    """The other side says that it has everything before ``ack``: a round trip may be measured."""
    newest_ns = np.int64(0)
    changed = False
    node = np.int64(side.head)
    while node >= 0:
        segment = segments[node]
        if ack <= segment.begin:
            break
        newest_ns = max(newest_ns, segment.time_ns)
        if segment.acked:
            segment.acked = min(np.int64(segment.acked) + 1, 65535)
        else:
            segment.acked = 1
            changed = True
            if ack == segment.end and newest_ns == segment.time_ns and segment.sent_again == 0:
                _sample(side, max(now_ns - segment.time_ns, 0))
        node = np.int64(segment.next)
    if changed:
        _join(side, segments, cursor)


@helper
def release(side: Record, segments: Indexed, cursor: Record) -> None:
    """Give all segments of a side back."""
    if side.segments > 0:
        segments[side.tail].next = cursor.free_segment
        cursor.free_segment = side.head
        cursor.spare_segments += side.segments
        side.segments = 0


@helper
def _sample(side: Record, rtt_ns: Int) -> None:
    if side.rtt_count == 0:
        side.rtt_first = side.rtt_min = side.rtt_max = rtt_ns
    side.rtt_count += 1
    side.rtt_min = min(side.rtt_min, rtt_ns)
    side.rtt_max = max(side.rtt_max, rtt_ns)
    side.rtt_sum += rtt_ns
    distance = float(rtt_ns - side.rtt_first)
    side.rtt_d2 += distance * distance


@helper
def _join(side: Record, segments: Indexed, cursor: Record) -> None:
    """Acknowledged segments that touch become one."""
    node = np.int64(side.head)
    while segments[node].acked and segments[node].next >= 0:
        following = np.int64(segments[node].next)
        segment, after = segments[node], segments[following]
        if after.acked and segment.end == after.begin:
            after.begin = segment.begin
            if segment.time_ns >= after.time_ns:
                after.time_ns, after.ip_id, after.kind = (
                    segment.time_ns,
                    segment.ip_id,
                    segment.kind,
                )
            _remove(side, segments, cursor, node)
        node = following


@helper
def _insert(  # noqa: PLR0917 - compiled
    side: Record, segments: Indexed, cursor: Record,
    begin: Int, end: Int, following: Int, ip_id: Int, now_ns: Int,
) -> Int:  # fmt: skip
    """A new segment before another one (-1: at the end); its place."""
    fresh = np.int64(cursor.free_segment)
    segment = segments[fresh]
    cursor.free_segment = segment.next
    cursor.spare_segments -= 1
    segment.begin, segment.end, segment.time_ns, segment.ip_id = begin, end, now_ns, ip_id
    segment.acked = segment.sent_again = segment.kind = 0
    before = np.int64(side.tail if following < 0 else segments[following].before)
    segment.before, segment.next = before, following
    if before >= 0:
        segments[before].next = fresh
    else:
        side.head = fresh
    if following >= 0:
        segments[following].before = fresh
    else:
        side.tail = fresh
    side.segments += 1
    return fresh


@helper
def _remove(side: Record, segments: Indexed, cursor: Record, node: Int) -> None:
    before, following = np.int64(segments[node].before), np.int64(segments[node].next)
    if before >= 0:
        segments[before].next = following
    else:
        side.head = following
    if following >= 0:
        segments[following].before = before
    else:
        side.tail = before
    segments[node].next = cursor.free_segment
    cursor.free_segment = node
    cursor.spare_segments += 1
    side.segments -= 1


@helper
def _classify(  # noqa: PLR0917 - compiled; one branch per rule
    side: Record, other: Record, segments: Indexed, node: Int, before: Int, length: Int,
    ip_id: Int, seen: Int, waited_ns: Int, now_ns: Int,
) -> Int:  # fmt: skip
    """Why these bytes come again, or late: counts it and tells it."""
    segment = segments[node]
    repeats = np.int64(0)
    last_kind: Int = IN_SEQUENCE
    if before >= 0:
        repeats = np.int64(segments[before].acked)
        last_kind = np.int64(segments[before].kind)
    mean_ns, rto_ns, rtt_ns = _round_trips(side, other)
    if side.rtt_count == 0 or other.rtt_count == 0:
        if waited_ns < 0:
            waited_ns = now_ns - segment.time_ns
        rto_ns, rtt_ns = float(RTO_UNKNOWN_NS), float(RTT_UNKNOWN_NS)
    timed_out = waited_ns > rto_ns
    fast = repeats > 3 and waited_ns < rto_ns
    same_packet = ip_id != 0 and segment.ip_id == ip_id
    if length == 1 and other.window_now == 0 and side.syn and other.syn:
        kind = WINDOW_PROBE
    elif waited_ns < mean_ns and last_kind != IN_SEQUENCE:
        kind = last_kind  # one of a batch
    elif same_packet and (seen or segment.acked):
        kind = DUPLICATE
    elif segment.acked:
        kind = UNNEEDED_FAST if fast else UNNEEDED_RTO if timed_out else UNKNOWN
    elif fast:
        kind = FAST
    elif timed_out:
        kind = RTO
    else:
        kind = REORDERED if not seen and now_ns - segment.time_ns < rtt_ns else UNKNOWN
    _count(side, kind)
    return kind


@helper
def _round_trips(side: Record, other: Record) -> tuple[float, float, float]:
    """Mean and least round trip over both halves of the path, with the time-out between them."""
    mean = 0.0
    both = np.int64(side.rtt_count) + np.int64(other.rtt_count)
    spread = 0.0
    if side.rtt_count:
        mean += side.rtt_sum / side.rtt_count
    if other.rtt_count:
        mean += other.rtt_sum / other.rtt_count
    if both:
        total = (side.rtt_sum + other.rtt_sum) / both
        spread = (_squares(side, total) + _squares(other, total)) / both
    rto = max(mean + 4.0 * math.sqrt(max(spread, 0.0)), float(RTO_LEAST_NS))
    return mean, rto, max(float(side.rtt_min + other.rtt_min), float(RTT_LEAST_NS))


@helper
def _squares(side: Record, around: float) -> Any:
    """Sum of squared distances of a side's round trips from a point."""
    off = side.rtt_first - around
    shifted = float(side.rtt_sum - side.rtt_count * side.rtt_first)
    return side.rtt_d2 + 2.0 * off * shifted + side.rtt_count * off * off


@helper
def _count(side: Record, kind: Int) -> None:
    side.rto += kind == RTO
    side.fast += kind == FAST
    side.reordered += kind == REORDERED
    side.network_duplicates += kind == DUPLICATE
    side.window_probes += kind == WINDOW_PROBE
    side.unneeded_rto += kind == UNNEEDED_RTO
    side.unneeded_fast += kind == UNNEEDED_FAST
    side.unknown_anomalies += kind == UNKNOWN
