"""What a TCP segment adds to a flow in Tstat's table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.flowmeter.tstat_flow import Flow, Side, add_packet
from tests.flowmeter.tstat_packets import ACK, FIN, RST, SYN, Packet
from tests.flowmeter.tstat_segments import MASK, View

HALF: Final = 2**31  # of the sequence numbers
LONG: Final = 2**64 - 1
LARGEST_SCALE: Final = 14  # RFC 7323


def add_segment(flow: Flow, side: Side, other: Side, packet: Packet) -> bool:
    """Take a segment that ``side`` sent; whether the flow ends with it."""
    flags, payload = packet.flags, packet.payload
    side.syn += (flags & SYN) > 0
    side.rst += (flags & RST) > 0
    if flags & FIN:
        side.fin += 1
        side.fin_end = (packet.seq + payload) & MASK
    if side is flow.sides[0] and not flags & SYN and other.syn == 0 and payload != 0:
        return True
    if flags & ACK and other.fin and packet.ack >= (other.fin_end + 1) & MASK:
        other.closed = True
    scales = side.scales and other.scales and (flow.rules.scaled_syn or not flags & SYN)
    window = (packet.window << (side.scale & 63 if scales else 0)) & LONG
    _numbers(side, other, packet)
    _options(flow, side, other, packet)
    _data(side, packet)
    add_packet(flow, side, packet)
    again, late = _send(flow, side, other, packet)
    side.late += late
    if flags & ACK:
        other.sent.acknowledge(packet.ack, packet.time_us)
    if again > 0:
        side.again += 1
    if flags & RST:
        side.acks += (flags & ACK) > 0
        if not flow.rules.no_reset:
            _first_ack(side, packet)
        return True
    _windows(side, packet, window)
    _times(flow, side, other, packet, again=again > 0)
    if not again and not late and not flags & SYN:
        _flight(flow, side, other, packet)
    return side.closed and other.closed


def _numbers(side: Side, other: Side, packet: Packet) -> None:
    """Numbers of SYN and FIN, and whether they ever changed."""
    if packet.flags & SYN:
        side.misbehaved |= side.syn > 1 and side.syn_seq != packet.seq
        side.syn_seq = other.ack = packet.seq
    if packet.flags & FIN:
        fin = packet.seq + packet.payload
        side.misbehaved |= side.fin > 1 and side.fin_seq != fin
        side.fin_seq = fin & MASK


def _options(flow: Flow, side: Side, other: Side, packet: Packet) -> None:
    sack = False
    lasting = not flow.rules.last_scale
    for kind, value in _listed(packet.options):
        if kind == 2 and len(value) >= 2:
            mss = int.from_bytes(value[:2], "big", signed=True)
            side.mss = side.mss if mss == -1 else mss
        elif kind == 3 and value and lasting:
            if packet.flags & SYN and side.syn == 1:
                side.scale, side.scales = min(value[0], LARGEST_SCALE), True
        elif kind == 3 and value:
            side.scale, side.scales = value[0], True
        elif kind == 5:
            sack = len(value) > 0
    side.sacks += sack
    if not lasting and not packet.flags & SYN and not (side.scales and other.scales):
        side.scale = other.scale = 0


def _data(side: Side, packet: Packet) -> None:
    if packet.payload <= 0:
        return
    side.data += 1
    side.payload_bytes += packet.payload
    side.most = max(side.most, packet.payload)
    side.least = min(side.least, packet.payload) if side.least else packet.payload


def _send(flow: Flow, side: Side, other: Side, packet: Packet) -> tuple[int, bool]:
    """Note what it carries: how much of that was sent before, and whether it fills a hole."""
    flags, payload = packet.flags, packet.payload
    syn, fin = (flags & SYN) > 0, (flags & FIN) > 0
    if not (syn or fin or payload > 0):
        return 0, False
    known_id = flow.rules.any_ip_id or (packet.version == 4 and packet.ip_id != 0)
    ip_id = packet.ip_id if known_id else None
    view = View(packet.time_us, ip_id, other.sent, other.window, side.syn > 0 < other.syn)
    length = payload + syn + fin
    ends = syn and side.sent.holds(packet.seq), fin and side.sent.holds(packet.seq + length - 1)
    again, late = side.sent.send(view, packet.seq, length)
    end = (packet.seq + length) & MASK
    if syn or (end - side.top) & MASK < HALF:
        side.top = end
    side.syn_again += ends[0]
    if flow.rules.counted_flags:
        ends = syn and side.syn > 1, fin and side.fin > 1
    known = max(again - sum(ends), 0)
    side.unique += max(payload - known, 0)
    side.again_bytes += known
    return again, late


def _windows(side: Side, packet: Packet, window: int) -> None:
    flags = packet.flags
    if flags & (ACK | SYN):
        side.window = window & MASK
        if window > side.window_max:
            side.window_max = window & MASK
        if window > 0 and (side.window_min == 0 or window < side.window_min):
            side.window_min = window & MASK
    if flags & ACK:
        side.zero_windows += window == 0
        side.acks += 1
        side.pure_acks += packet.payload == 0 and not flags & (SYN | FIN | RST)
        side.ack = packet.ack
        if side.highest_ack < 0 or (packet.ack - side.highest_ack) & MASK < HALF:
            side.highest_ack = packet.ack


def _first_ack(side: Side, packet: Packet) -> None:
    if packet.flags & (ACK | SYN) == ACK and not side.first_ack_us:
        side.first_ack_us = packet.time_us


def _times(flow: Flow, side: Side, other: Side, packet: Packet, *, again: bool) -> None:
    flags, payload, now_us = packet.flags, packet.payload, packet.time_us
    ahead = (packet.ack - other.syn_seq - 1) & MASK
    if flags & ACK and (ahead != 0 if flow.rules.other_ack else 0 < ahead < HALF):
        other.data_acked = True
    if payload > 0 and not side.data_acked and not again:
        side.initial += payload
    _first_ack(side, packet)
    if payload != 0:
        side.first_data_us = side.first_data_us or now_us
        side.last_data_us = now_us


def _flight(flow: Flow, side: Side, other: Side, packet: Packet) -> None:
    """Bytes that are not acknowledged yet."""
    flight = (packet.seq + packet.payload - other.ack) & MASK
    if not flow.rules.last_ack:
        carries = packet.payload + (packet.flags & FIN) > 0
        known = other.highest_ack if other.highest_ack >= 0 else side.syn_seq
        flight = (side.top - (packet.flags & FIN) - known) & MASK if carries else 0
    if 0 < flight < HALF:
        side.cwin_max = max(side.cwin_max, flight)
        side.cwin_min = min(side.cwin_min, flight) if side.cwin_min else flight


def _listed(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind = data[at]
        if kind in (0, 1):
            at += 1
            continue
        if at + 1 >= len(data) or data[at + 1] == 0 or at + data[at + 1] > len(data):
            return
        yield kind, data[at + 2 : at + data[at + 1]]
        at += data[at + 1]
