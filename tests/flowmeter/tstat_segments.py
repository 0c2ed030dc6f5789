"""Tstat's list of the segments that one side sent: what comes again or late, why, round trips."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from tests.flowmeter.tstat_rules import Rules

MASK = 0xFFFFFFFF
QUARTER: Final = 0x40000000
MOST_SEGMENTS: Final = 100  # in a quarter of the sequence numbers
RTO, FAST, REORDERED, DUPLICATE, PROBE, UNNEEDED_RTO, UNNEEDED_FAST, UNKNOWN = range(1, 9)
RTO_LEAST_US, RTT_LEAST_US, RTO_UNKNOWN_US, RTT_UNKNOWN_US = 100_000, 1_000, 500_000, 5_000


@dataclass(slots=True)
class Segment:
    first: int
    last: int
    time_us: int
    ip_id: int | None
    again: int = 0
    acked: int = 0
    kind: int = 0


@dataclass
class RoundTrips:
    """Samples of one side, µs."""

    count: int = 0
    least: int = 0
    most: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / (self.count + 0.0001)

    @property
    def deviation(self) -> float:
        return deviation(self.total, self.squares, self.count)

    def add(self, rtt_us: int, rules: Rules) -> None:
        if self.least > rtt_us or (self.least == 0 if rules.zero_is_none else self.count == 0):
            self.least = rtt_us
        self.most = max(self.most, rtt_us)
        self.total += rtt_us
        self.squares += rtt_us * rtt_us
        self.count += 1


def deviation(total: float, squares: float, count: int) -> float:
    """The sample's standard deviation; 0 for two samples and less."""
    if count <= 2:
        return 0.0
    return math.sqrt(max((squares - total * total / count) / (count - 1), 0.0))


def elapsed(before_us: int, now_us: int) -> int:
    """Time that has passed; none where it runs backwards."""
    return max(now_us - before_us, 0)


@dataclass
class Sent:
    """What one side sent."""

    rules: Rules
    rtt: RoundTrips = field(default_factory=RoundTrips)
    kinds: list[int] = field(default_factory=lambda: [0] * 9)
    quarters: dict[int, list[Segment]] = field(default_factory=dict)
    linked: set[int] = field(default_factory=set)  # quarters with neighbours on both sides

    def holds(self, number: int) -> bool:
        """Whether the byte of that number was sent."""
        return any(
            segment.first <= number & MASK <= segment.last
            for segments in self.quarters.values() for segment in segments
        )  # fmt: skip

    def _quarter(self, number: int) -> list[Segment]:
        at = number >> 30
        if at not in self.linked:
            after, opposite, before = ((at + step) % 4 for step in (1, 2, 3))
            for place in (at, after, before):
                self.quarters.setdefault(place, [])
            self.quarters.pop(opposite, None)
            self.linked = {at}
        return self.quarters[at]

    def send(self, view: View, seq: int, length: int) -> tuple[int, bool]:
        """Take bytes: how many of them were seen before, and whether they fill a hole."""
        last = (seq + length - 1) & MASK
        quarter = self._quarter(seq)
        if seq >> 30 == last >> 30:
            return self._add(view, quarter, seq, length)
        end = ((QUARTER - 1) * ((seq >> 30) + 1)) & MASK
        here = (end - seq + 1) & MASK
        again, _ = self._add(view, quarter, seq, here)
        following = self.quarters[((seq >> 30) + 1) % 4]
        more, late = self._add(view, following, (last >> 30) << 30, length - here)
        return again + more, late

    def _add(
        self, view: View, segments: list[Segment], first: int, length: int
    ) -> tuple[int, bool]:
        last, again, late, split = first + length - 1, 0, False, False
        at = len(segments) if segments and first > segments[-1].last else 0
        while at < len(segments):
            segment = segments[at]
            if first > segment.last:
                at += 1
                continue
            if first < segment.first:
                late |= last < segment.last
                segments.insert(at, Segment(first, last, view.now_us, view.ip_id))
                at += 1
                if last <= segment.first:
                    self._judge(view, segments, at, length, seen=False, waited_us=0)
                    return again, late
                segments[at - 1].last = segment.first - 1
                rest = segment.first - 1 - first
                self._judge(view, segments, at, rest, seen=False, waited_us=0)
                first = segment.first
                length = last - first + 1
            segment.again = (segment.again + 1) & 255
            waited_us = view.now_us - segment.time_us
            if not split or not self.rules.first_piece:
                segment.time_us = view.now_us
            if last <= segment.last:
                again += length
                self._judge(view, segments, at, length, seen=True, waited_us=waited_us)
                return again, late
            split = True
            again += segment.last - first + 1
            first = segment.last + 1
            self._judge(view, segments, at, again, seen=True, waited_us=waited_us)
            length = last - first + 1
            at += 1
        segments.append(Segment(first, last, view.now_us, view.ip_id))
        if len(segments) > MOST_SEGMENTS:
            segments[1].first = segments[0].first
            del segments[0]
        return again, late

    def _judge(
        self, view: View, segments: list[Segment], at: int, length: int, *, seen: bool,
        waited_us: int,
    ) -> None:  # fmt: skip
        """Why bytes of segment ``at``, or bytes put in before it, come now."""
        fresh = at if seen else at - 1
        before = segments[fresh - 1] if fresh > 0 else None
        kind = self._kind(view, segments[at], before, length, seen=seen, waited_us=waited_us)
        segments[fresh].kind = kind
        plain = kind & 15
        self.kinds[min(UNKNOWN, plain)] += plain > 0

    def _kind(  # noqa: PLR0911, C901
        self, view: View, segment: Segment, before: Segment | None, length: int, *, seen: bool,
        waited_us: int,
    ) -> int:  # fmt: skip
        mine, other = self.rtt, view.other.rtt
        mean = mine.mean + other.mean
        rto = max(mean + 4 * self._spread(other), RTO_LEAST_US)
        rtt = max(mine.least + other.least, RTT_LEAST_US)
        if not seen:
            waited_us = view.now_us - before.time_us if before else -1
        if not (mine.count and other.count):
            rto, rtt = RTO_UNKNOWN_US, RTT_UNKNOWN_US
            if waited_us == -1:
                waited_us = view.now_us - segment.time_us
        same = view.ip_id is not None and segment.ip_id == view.ip_id
        fast = before is not None and before.acked > 3 and waited_us < rto
        if length == 1 and view.other_window == 0 and view.both_syns:
            return PROBE
        if waited_us < mean and before is not None and before.kind != 0:
            return before.kind | 16
        if same and (seen or segment.acked):
            return DUPLICATE
        if segment.acked:
            if fast or waited_us > rto:
                return UNNEEDED_FAST if fast else UNNEEDED_RTO
            return UNKNOWN
        if fast or waited_us > rto:
            return FAST if fast else RTO
        if not seen and view.now_us - segment.time_us < rtt:
            return REORDERED
        return UNKNOWN

    def _spread(self, other: RoundTrips) -> float:
        """Standard deviation of both sides' round trips together."""
        mine = self.rtt
        total, squares = mine.total + other.total, mine.squares + other.squares
        count = mine.count + other.count
        if self.rules.sample_deviation:
            return deviation(total, squares, count)
        return math.sqrt(max(squares / count - (total / count) ** 2, 0)) if count else 0.0

    def acknowledge(self, ack: int, now_us: int) -> None:
        """The other side has everything before ``ack``."""
        quarter = self._quarter(ack)
        before = self.quarters[((ack >> 30) + 3) % 4]
        newest_us, changed = 0, False
        for segment in before:
            if not segment.acked:
                segment.acked, changed = 1, True
                newest_us = max(newest_us, segment.time_us)
        if changed:
            _join(before)
        changed = False
        for segment in quarter:
            if ack <= segment.first:
                break
            newest_us = max(newest_us, segment.time_us)
            segment.acked += 1
            if segment.acked > 1:
                continue
            changed = True
            exact = ack == (segment.last + 1) & MASK
            if exact and newest_us <= segment.time_us and segment.again == 0:
                self.rtt.add(elapsed(segment.time_us, now_us), self.rules)
        if changed:
            _join(quarter)


@dataclass
class View:
    """What a segment's judgement depends on besides the list."""

    now_us: int
    ip_id: int | None
    other: Sent
    other_window: int
    both_syns: bool


def _join(segments: list[Segment]) -> None:
    """Acknowledged segments that touch become one."""
    at = 0
    while at + 1 < len(segments) and segments[at].acked:
        segment, following = segments[at], segments[at + 1]
        if not following.acked or segment.last + 1 != following.first:
            at += 1
            continue
        segment.last, segment.acked = following.last, following.acked
        if following.time_us > segment.time_us:
            segment.time_us, segment.ip_id = following.time_us, following.ip_id
            segment.kind = following.kind
        del segments[at + 1]
