"""What one side of a TCP connection sent, stretch by stretch, and why it sent parts of it again.

A stretch is a run of sequence numbers that were first sent together; stretches never overlap.
Anomalies are classified by the rules of Mellia, Meo and Muscariello, "TCP Anomalies: identification
and analysis" (2005), with the thresholds of Tstat. They look at

* whether the numbers were seen before, and acknowledged before;
* whether the IP identification is the one they were first sent with (IPv6 has none, and 0 is none);
* the recovery time: since the last transmission of the same numbers; of the stretch before, if they
  were not seen;
* how often the stretch before was acknowledged: more than three times means duplicate ACKs;
* the sum of both sides' mean RTT, and the RTO made of it and four standard deviations of all
  samples, 100 ms at least, 500 ms as long as one of the sides has no sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

MS = 10**6
IN_SEQUENCE, UNCLASSIFIED, PROBE = "in_sequence", "unclassified_anomalies", "window_probes"
RTO, FAST = "rto_retransmissions", "fast_retransmissions"
REORDERED, DUPLICATE = "reordered_packets", "duplicate_packets"
UNNEEDED = {RTO: "unneeded_rto_retransmissions", FAST: "unneeded_fast_retransmissions"}
CAUSES = (RTO, FAST, REORDERED, DUPLICATE, UNCLASSIFIED, PROBE, *UNNEEDED.values())


@dataclass
class Stretch:
    """Sequence numbers from ``begin`` up to, not including, ``end``."""

    begin: int
    end: int
    time_ns: int  # of the last transmission
    ip_id: int | None
    acks: int = 0
    again: int = 0
    kind: str = IN_SEQUENCE


@dataclass
class Sent:
    """One side's stretches, in order; ``merging`` takes acknowledged neighbours for one."""

    merging: bool
    stretches: list[Stretch] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))

    def acknowledge(self, number: int, now_ns: int) -> None:
        """Take an ACK from the other side: perhaps a round trip sample."""
        latest = 0
        fresh = False
        for stretch in self.stretches:
            if number <= stretch.begin:
                break
            latest = max(latest, stretch.time_ns)
            if stretch.acks == 0:
                fresh = True
                usable = stretch.again == 0 and latest <= stretch.time_ns
                if number == stretch.end and usable:
                    self.samples.append(now_ns - stretch.time_ns)
            stretch.acks += 1
        if fresh and self.merging:
            self._merge()

    def _merge(self) -> None:
        at = 0
        while at + 1 < len(self.stretches) and self.stretches[at].acks:
            here, there = self.stretches[at : at + 2]
            if not there.acks or here.end != there.begin:
                at += 1
                continue
            here.end, here.acks = there.end, there.acks
            if there.time_ns > here.time_ns:
                here.time_ns, here.ip_id, here.kind = there.time_ns, there.ip_id, there.kind
            del self.stretches[at + 1]

    def send(self, begin: int, end: int, context: Context) -> None:
        """Take a segment: cut it into what was sent before and what was not."""
        at = 0
        while begin < end:
            while at < len(self.stretches) and self.stretches[at].end <= begin:
                at += 1
            if at == len(self.stretches):
                self.stretches.append(Stretch(begin, end, context.now_ns, context.ip_id))
                return
            old = self.stretches[at]
            until = min(end, old.begin if begin < old.begin else old.end)
            if begin < old.begin:
                fresh = Stretch(begin, until, context.now_ns, context.ip_id)
                fresh.kind = self._fill(at, until - begin, context)
                self.stretches.insert(at, fresh)
                self._count(fresh.kind)
            else:
                old.again += 1
                old.kind = self._repeat(at, until - begin, context)
                old.time_ns = context.now_ns
                self._count(old.kind)
            begin = until

    def _count(self, kind: str) -> None:
        if kind != IN_SEQUENCE:
            self.causes[kind] += 1

    def _before(self, at: int) -> Stretch | None:
        return self.stretches[at - 1] if at else None

    def _fill(self, at: int, size: int, context: Context) -> str:
        """Why numbers come now that lie before stretch ``at`` and were not seen before."""
        after, before = self.stretches[at], self._before(at)
        recovery = None if before is None else context.now_ns - before.time_ns
        if recovery is None and not context.both_sampled:
            recovery = context.now_ns - after.time_ns
        early = context.early(size, recovery, before)
        if early:
            return early
        cause = context.cause(recovery, before)
        if after.acks:
            return _unneeded(cause, same=context.same_id(after))
        if cause == UNCLASSIFIED and context.now_ns - after.time_ns < context.shortest_ns:
            return REORDERED
        return cause

    def _repeat(self, at: int, size: int, context: Context) -> str:
        """Why numbers of stretch ``at`` come again."""
        old, before = self.stretches[at], self._before(at)
        recovery = context.now_ns - old.time_ns
        early = context.early(size, recovery, before)
        if early:
            return early
        cause = context.cause(recovery, before)
        if old.acks:
            return _unneeded(cause, same=context.same_id(old))
        return DUPLICATE if context.same_id(old) else cause


def _unneeded(cause: str, *, same: bool) -> str:
    return DUPLICATE if same else UNNEEDED.get(cause, UNCLASSIFIED)


@dataclass(frozen=True)
class Context:
    """What a segment's classification needs beside the stretches."""

    now_ns: int
    ip_id: int | None
    own: list[int]  # RTT samples of both sides
    others: list[int]
    probing: bool  # both SYNs were seen, and the other side's window is closed

    @property
    def both_sampled(self) -> bool:
        return bool(self.own and self.others)

    @property
    def mean_ns(self) -> Fraction:
        sides = (self.own, self.others)
        return sum((Fraction(sum(each), len(each)) for each in sides if each), Fraction(0))

    @property
    def rto_ns(self) -> float:
        if not self.both_sampled:
            return 500 * MS
        both = self.own + self.others
        middle = Fraction(sum(both), len(both))
        squares = sum((value - middle) ** 2 for value in both)
        return max(float(self.mean_ns) + 4 * math.sqrt(squares / len(both)), 100 * MS)

    @property
    def shortest_ns(self) -> int:
        if not self.both_sampled:
            return 5 * MS
        return max(min(self.own) + min(self.others), MS)

    def same_id(self, stretch: Stretch) -> bool:
        return bool(self.ip_id) and self.ip_id == stretch.ip_id

    def early(self, size: int, recovery: int | None, before: Stretch | None) -> str:
        """The two rules that go before all others: window probes, and one cause for a batch."""
        if size == 1 and self.probing:
            return PROBE
        soon = recovery is None or recovery < self.mean_ns
        if soon and before is not None and before.kind != IN_SEQUENCE:
            return before.kind
        return ""

    def cause(self, recovery: int | None, before: Stretch | None) -> str:
        if before is not None and before.acks > 3 and (recovery or 0) < self.rto_ns:
            return FAST
        return RTO if recovery is not None and recovery > self.rto_ns else UNCLASSIFIED
