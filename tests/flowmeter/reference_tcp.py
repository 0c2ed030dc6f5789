"""What a TCP connection's numbers tell of each side, from the complete list of its packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.flowmeter.reference_numbers import NAN, extremes, ms, spread
from tests.flowmeter.reference_packets import ACK, FIN, RST, SYN, Seen
from tests.flowmeter.reference_segments import Context, Sent

HALF = 1 << 31
Sight = tuple[bool, int, Seen]  # whether the initiator sent it, its time in the flow, the packet


def near(number: int, place: int | None) -> int:
    """A 32-bit number, unwrapped to lie next to a place."""
    if place is None:
        return number + 2 * HALF
    return place + (number - place + HALF) % (2 * HALF) - HALF


@dataclass
class Side:
    """What is known of the numbers that one side sends."""

    ranges: list[tuple[int, int]] = field(default_factory=list)  # every segment ever sent
    plain: Sent = field(default_factory=lambda: Sent(merging=False))
    causes: Sent = field(default_factory=lambda: Sent(merging=True))
    top: int | None = None
    acked: int | None = None  # the highest acknowledgement of them
    base: int | None = None  # the first number sent
    isn: int | None = None
    window_now: int = 0
    last_ack: tuple[int, int] | None = None
    data_acked: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    flights: list[int] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)

    def add(self, name: str, amount: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount

    def overlap(self, begin: int, end: int) -> int:
        """How many of these numbers were sent before."""
        points = sorted({begin, end, *(p for r in self.ranges for p in r if begin < p < end)})
        covered = 0
        for low, high in pairwise(points):
            if any(first <= low and high <= last for first, last in self.ranges):
                covered += high - low
        return covered

    def out_of_order(self, begin: int, end: int) -> bool:
        """Whether some of it fills a hole, and it ends before what was sent after the hole does."""
        floor: int | None = None
        for stretch in self.causes.stretches:  # where acknowledged neighbours count as one
            hole = stretch.begin if floor is None else stretch.begin - floor
            reaches = begin < stretch.begin and (floor is None or end > floor)
            if hole and reaches and end < stretch.end:
                return True
            floor = stretch.end
        return False


def analysed(packets: Sequence[Sight]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The TCP features of both sides, without their prefix."""
    sides = (Side(), Side())
    seen: tuple[list[Seen], list[Seen]] = ([], [])
    for up, now_ns, packet in packets:
        own, other = (0, 1) if up else (1, 0)
        seen[own].append(packet)
        _take(sides[own], sides[other], packet, now_ns, seen[own], seen[other])
    return _features(sides[0]), _features(sides[1])


def _take(  # noqa: PLR0917 - what the packet meets
    side: Side, other: Side, packet: Seen, now_ns: int, mine: list[Seen], theirs: list[Seen]
) -> None:
    _learn(side, other, packet)
    begin = near(packet.tcp.seq, side.top)
    end = begin + packet.length
    if packet.length and side.base is None:
        side.base = begin
    if packet.flags & SYN:
        side.add("syn_retransmissions", side.overlap(begin, begin + 1) > 0)
    repeated = side.overlap(begin, end)
    late = packet.length > 0 and side.out_of_order(begin, end)
    if packet.length:
        _send(side, other, packet, now_ns, begin, mine, theirs)
    side.add("retransmitted_packets", repeated > 0)
    side.add("out_of_order_packets", late)
    if packet.flags & ACK:
        _acknowledge(side, other, packet, now_ns)
    if packet.payload and not side.data_acked and not repeated:
        side.add("cwin_initial_bytes", packet.payload)
    if not packet.flags & RST:
        _window(side, packet, mine, theirs)
    if packet.length and not packet.flags & SYN and not late and not repeated:
        # Bytes are data: a FIN takes a number, but is none.
        begun = side.base if side.acked is None else side.acked
        side.flights.append(end - bool(packet.flags & FIN) - begun)


def _learn(side: Side, other: Side, packet: Seen) -> None:
    """Initial sequence numbers: a side's own, and the other's that a SYN-ACK answers."""
    if packet.flags & SYN and side.isn is None:
        side.isn = packet.tcp.seq
    if packet.flags & (SYN | ACK) == SYN | ACK and other.isn is None:
        other.isn = (packet.tcp.ack - 1) % 2**32


def _send(  # noqa: PLR0917 - what the packet meets
    side: Side, other: Side, packet: Seen, now_ns: int, begin: int, mine: list[Seen],
    theirs: list[Seen],
) -> None:  # fmt: skip
    data, end = begin + bool(packet.flags & SYN), begin + packet.length
    again = side.overlap(data, data + packet.payload)
    side.add("retransmitted_bytes", again)
    side.add("unique_payload_bytes", packet.payload - again)
    both = all(any(p.flags & SYN for p in packets) for packets in (mine, theirs))
    probing = both and other.window_now == 0
    for sent, others in ((side.plain, other.plain), (side.causes, other.causes)):
        context = Context(now_ns, packet.ip_id, sent.samples, others.samples, probing)
        sent.send(begin, end, context)
    side.ranges.append((begin, end))
    side.top = end if side.top is None else max(side.top, end)


def _acknowledge(side: Side, other: Side, packet: Seen, now_ns: int) -> None:
    outstanding = False
    if other.top is not None:
        number = near(packet.tcp.ack, other.top)
        other.plain.acknowledge(number, now_ns)
        other.causes.acknowledge(number, now_ns)
        other.acked = number if other.acked is None else max(other.acked, number)
        outstanding = other.top > other.acked
    # Of a connection joined midway, every acknowledgement is one of data.
    if other.isn is None or 0 < (packet.tcp.ack - other.isn - 1) % 2**32 < HALF:
        other.data_acked = True
    if packet.pure_ack:
        told = (packet.tcp.ack, packet.tcp.window)
        side.add("duplicate_acks", told == side.last_ack and outstanding)
        side.last_ack = told


def _window(side: Side, packet: Seen, mine: list[Seen], theirs: list[Seen]) -> None:
    if not packet.flags & (SYN | ACK):
        return
    shift = 0
    offers = [_offer(packets) for packets in (mine, theirs)]
    if not packet.flags & SYN and offers[0] is not None and offers[1] is not None:
        shift = min(offers[0], 14)
    side.window_now = packet.tcp.window << shift
    side.windows.append(side.window_now)
    side.add("zero_window_packets", packet.tcp.window == 0 and bool(packet.flags & ACK))


def _offer(packets: list[Seen]) -> int | None:
    first = next((packet.options for packet in packets if packet.flags & SYN), {})
    return first.get("WScale")


def _features(side: Side) -> dict[str, Any]:
    row: dict[str, Any] = {"rtt_samples": len(side.plain.samples)}
    row |= {f"rtt_{k}_ms": v for k, v in spread(side.plain.samples, scale=10**6).items()}
    for name in (
        "retransmitted_packets", "retransmitted_bytes", "unique_payload_bytes",
        "cwin_initial_bytes",
        "out_of_order_packets", "duplicate_acks", "syn_retransmissions", "zero_window_packets",
    ):  # fmt: skip
        row[name] = side.counts.get(name, 0)
    row |= side.causes.causes
    row["window_min_bytes"] = extremes([window for window in side.windows if window])[0]
    row["window_max_bytes"] = extremes(side.windows)[1]
    row["cwin_min_bytes"], row["cwin_max_bytes"] = extremes(
        [flight for flight in side.flights if flight > 0]
    )
    return row


def handshake(packets: Sequence[Sight]) -> dict[str, float]:
    """Times of SYN, SYN-ACK and ACK, if each was seen once and they fit each other."""
    whole = dict.fromkeys(
        ("handshake_rtt_ms", "handshake_server_ms", "handshake_client_ms"), NAN
    )  # fmt: skip
    syn: list[tuple[int, Seen]] = []
    answers: list[tuple[int, Seen]] = []
    for up, now_ns, packet in packets:
        kind = packet.flags & (SYN | ACK | RST | FIN)
        if up and kind == SYN:
            syn.append((now_ns, packet))
        elif not up and kind == SYN | ACK:
            answers.append((now_ns, packet))
        elif up and kind & (ACK | SYN | RST) == ACK and answers:
            if len(syn) != 1 or len(answers) != 1:
                return whole
            acked = (answers[0][1].tcp.ack - syn[0][1].tcp.seq) % 2**32
            fits = 1 <= acked <= 1 + syn[0][1].payload
            if not fits or (packet.tcp.ack - answers[0][1].tcp.seq) % 2**32 != 1:
                return whole
            if syn[0][0] > answers[0][0]:
                return whole
            times = (now_ns - syn[0][0], answers[0][0] - syn[0][0], now_ns - answers[0][0])
            return dict(zip(whole, map(ms, times), strict=True))
    return whole
