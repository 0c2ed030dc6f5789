"""What a TCP segment adds to its flow: flags, options, handshake, windows, round trips, losses."""

from __future__ import annotations

import numpy as np

from flowmeter.core.jit import helper
from flowmeter.core.layout import C2S, OPT_SACK, S2C, Indexed, Int, Record
from flowmeter.core.segments import FIRST_SEEN, LAST_SEEN, LATE, SHIFT, acknowledge, send

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
MASK32 = 0xFFFFFFFF
MOST_SCALE = 14  # RFC 7323: a larger shift counts as this


@helper
def add_tcp(  # noqa: PLR0917 - compiled
    flow: Record, side: Record, other: Record, segments: Indexed, cursor: Record,
    packet: Record, direction: Int, now_ns: Int,
) -> None:  # fmt: skip
    """Take one segment; call after `add_packet`."""
    flags = np.int64(packet.flags)
    _count_flags(side, packet, flags)
    if flags & SYN:
        _learn(side, other, packet, flags)
    if flow.ack_ns < 0:
        _handshake(flow, other, packet, flags, direction, now_ns)
    seen = _sent(side, other, segments, cursor, packet, flags, now_ns)
    if flags & ACK:
        _acked(side, other, segments, cursor, packet, flags, now_ns)
    if flags & RST:
        flow.closed = 1
    elif flags & (ACK | SYN):
        _window(side, other, packet, flags)
    payload = np.int64(packet.payload_bytes)
    if payload > 0 and not side.data_acked and seen >> SHIFT == 0:
        side.cwin_first += payload
    if not flags & SYN and payload + (flags & FIN) > 0 and seen >> SHIFT == 0 and not seen & LATE:
        known = side.acked if side.acked >= 0 else side.seq_base
        flight = side.seq_top - (flags & FIN) - known  # a FIN has a number, but is no byte
        if flight > 0:
            side.cwin_max = max(side.cwin_max, flight)
            side.cwin_min = flight if side.cwin_min == 0 else min(side.cwin_min, flight)
    _closing(flow, side, other, packet, flags)


@helper
def _count_flags(side: Record, packet: Record, flags: Int) -> None:
    side.fin += flags & 1
    side.syn += (flags >> 1) & 1
    side.rst += (flags >> 2) & 1
    side.psh += (flags >> 3) & 1
    side.ack += (flags >> 4) & 1
    side.urg += (flags >> 5) & 1
    side.ece += (flags >> 6) & 1
    side.cwr += (flags >> 7) & 1
    side.pure_acks += packet.payload_bytes == 0 and flags & (ACK | SYN | FIN | RST) == ACK
    side.sack_packets += (packet.options & OPT_SACK) != 0


@helper
def _learn(side: Record, other: Record, packet: Record, flags: Int) -> None:
    """What a SYN tells: the initial sequence number, and what its sender offers."""
    if not side.isn_known:
        side.isn = packet.seq
        side.isn_known = 1
    if flags & ACK and not other.isn_known:
        other.isn = (np.int64(packet.ack) - 1) & MASK32
        other.isn_known = 1
    if side.window < 0:
        side.window = packet.window
        side.mss = packet.mss
        side.window_scale = min(np.int64(packet.window_scale), MOST_SCALE)
        side.options = packet.options


@helper
def _handshake(  # noqa: PLR0917 - compiled
    flow: Record, other: Record, packet: Record, flags: Int, direction: Int, now_ns: Int
) -> None:
    """Times of SYN, SYN-ACK and the ACK that ends the handshake, while it lasts."""
    kind = flags & (SYN | ACK | RST | FIN)
    acked = (np.int64(packet.ack) - other.isn) & MASK32
    if kind == SYN and direction == C2S:
        if flow.syn_ns >= 0:
            flow.handshake_broken = 1
        flow.syn_ns = now_ns
    elif kind == SYN | ACK and direction == S2C:
        # A SYN with data (fast open) may be acknowledged with or without the data.
        if flow.synack_ns >= 0 or acked < 1 or acked > 1 + other.payload_bytes:
            flow.handshake_broken = 1
        flow.synack_ns = now_ns
    elif kind & (ACK | SYN | RST) == ACK and direction == C2S and flow.synack_ns >= 0:
        if acked != 1:
            flow.handshake_broken = 1
        flow.ack_ns = now_ns


@helper
def _near(known: Int, number: Int) -> Int:
    """The unwrapped sequence number nearest to a known one."""
    ahead = (number - known) & MASK32
    if ahead >= 0x80000000:
        ahead -= 0x100000000
    return known + ahead


@helper
def _sent(  # noqa: PLR0917 - compiled
    side: Record, other: Record, segments: Indexed, cursor: Record,
    packet: Record, flags: Int, now_ns: Int,
) -> Int:  # fmt: skip
    """Note what the segment carries; the result of `send`."""
    payload = np.int64(packet.payload_bytes)
    syn, fin = (flags >> 1) & 1, flags & 1
    length = payload + syn + fin
    if length == 0:
        return 0
    if side.seq_top < 0:
        begin = np.int64(packet.seq) + 0x100000000
        side.seq_base = side.seq_top = begin
    else:
        begin = _near(side.seq_top, np.int64(packet.seq))
    seen = send(
        side, other, segments, cursor, begin, begin + length, np.int64(packet.ip_id), now_ns
    )
    side.seq_top = max(side.seq_top, begin + length)
    again = seen >> SHIFT
    if again:
        side.retransmitted += 1
    if seen & LATE:
        side.out_of_order += 1
    if syn and seen & FIRST_SEEN:
        side.syn_again += 1
        again -= 1
    if fin and seen & LAST_SEEN:
        again -= 1
    if again:
        side.retransmitted_bytes += again
    return seen


@helper
def _acked(  # noqa: PLR0917 - compiled
    side: Record, other: Record, segments: Indexed, cursor: Record,
    packet: Record, flags: Int, now_ns: Int,
) -> None:  # fmt: skip
    """Note what the segment acknowledges of the other side's bytes."""
    number = np.int64(packet.ack)
    if not flags & SYN and side.first_ack_ns < 0:
        side.first_ack_ns = now_ns
    # Of a connection joined midway, every acknowledgement is one of data.
    if not other.isn_known or 0 < (number - other.isn - 1) & MASK32 < 0x80000000:
        other.data_acked = 1
    if other.seq_top >= 0:
        ack = _near(other.seq_top, number)
        acknowledge(other, segments, cursor, ack, now_ns)
        other.acked = max(other.acked, ack)
    if packet.payload_bytes == 0 and flags & (SYN | FIN | RST) == 0:
        same = side.pure_acks > 1 and side.last_ack == number and side.last_window == packet.window
        if same and other.seq_top > other.acked:
            side.duplicate_acks += 1
        side.last_ack, side.last_window = number, packet.window


@helper
def _window(side: Record, other: Record, packet: Record, flags: Int) -> None:
    """The advertised window in bytes: scaled once both sides have offered scaling."""
    window = np.int64(packet.window)
    if not flags & SYN and side.window_scale >= 0 and other.window_scale >= 0:
        window <<= np.int64(side.window_scale)
    side.window_now = window
    side.window_max = max(side.window_max, window)
    if window > 0:
        side.window_min = window if side.window_min == 0 else min(side.window_min, window)
    elif flags & ACK:
        side.zero_windows += 1


@helper
def _closing(flow: Record, side: Record, other: Record, packet: Record, flags: Int) -> None:
    """A TCP flow closes at a RST (see `add_tcp`), or when both FINs are acknowledged."""
    if flags & FIN and side.fin == 1:
        spans = np.int64(packet.seq) + packet.payload_bytes + 1
        side.fin_end = (spans + ((flags & SYN) >> 1)) & MASK32
    if flags & ACK and other.fin > 0:
        ahead = (np.int64(packet.ack) - other.fin_end) & MASK32
        if ahead < 0x80000000:
            other.fin_acked = 1
            if side.fin_acked:
                flow.closed = 1
