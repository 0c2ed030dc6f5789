"""Transport headers: ports, TCP's fields and options, and how long the payload is.

Payload is what follows the header: TCP's with its options, UDP's 8 bytes, SCTP's common 12, ICMP's
8. Of any other protocol it is all that IP carries. Such protocols, ICMP and ICMPv6 have no ports.
"""

from __future__ import annotations

from flowmeter.core.hello import quic, tls
from flowmeter.core.jit import helper
from flowmeter.core.layout import (
    FIRST_FRAGMENT,
    OPT_FASTOPEN,
    OPT_MSS,
    OPT_SACK,
    OPT_SACK_OK,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    Bytes,
    Record,
)
from flowmeter.core.reading import u8, u16, u32
from flowmeter.core.rejects import FLOWS, MALFORMED_TRANSPORT, TRUNCATED_TRANSPORT

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
LARGEST_SHIFT = 14  # RFC 7323: a larger window scale counts as this one


@helper
def transport(data: Bytes, packet: Record, at: int, ip_end: int) -> int:
    """Fill what the transport header at ``at`` tells; the reject code."""
    protocol = packet.protocol
    if protocol == TCP:
        return _tcp(data, packet, at, ip_end)
    if protocol == UDP:
        return _udp(data, packet, at, ip_end)
    header = 0
    if protocol == SCTP:
        if ip_end - at < 12:
            return MALFORMED_TRANSPORT
        if packet.at + packet.captured - at < 12:
            return TRUNCATED_TRANSPORT
        packet.src_port = u16(data, at)
        packet.dst_port = u16(data, at + 2)
        header = 12
    elif protocol in (ICMP, ICMPV6):
        header = 8
    wire_end = packet.at + max(packet.wire, packet.captured)
    packet.payload_bytes = max(min(ip_end, wire_end) - at - header, 0)
    return FLOWS


@helper
def _tcp(data: Bytes, packet: Record, at: int, ip_end: int) -> int:
    end = packet.at + packet.captured
    if ip_end - at < 20:
        return MALFORMED_TRANSPORT
    if end - at < 20:
        return TRUNCATED_TRANSPORT
    header = (u8(data, at + 12) >> 4) * 4
    if header < 20 or header > ip_end - at:
        return MALFORMED_TRANSPORT
    packet.src_port = u16(data, at)
    packet.dst_port = u16(data, at + 2)
    packet.seq = u32(data, at + 4)
    packet.ack = u32(data, at + 8)
    packet.flags = u8(data, at + 13)
    packet.window = u16(data, at + 14)
    if header == 32 and end - at >= 24 and u32(data, at + 20) == 0x0101080A:
        packet.options = OPT_TIMESTAMPS  # nearly every segment's only option
    elif header > 20:
        _options(data, packet, at + 20, min(at + header, end))
    wire_end = packet.at + max(packet.wire, packet.captured)
    payload = min(ip_end, wire_end) - at - header
    if ip_end > wire_end:
        packet.beyond = ip_end - at - header - max(payload, 0)
    if payload > 0:
        packet.payload_bytes = payload
        if min(end, ip_end) - at - header >= 5:
            tls(data, packet, at + header, min(end, ip_end))
    return FLOWS


@helper
def _options(  # noqa: C901 - one branch per option
    data: Bytes, packet: Record, at: int, stop: int
) -> None:
    """Note TCP options; a list that contradicts itself ends where it does."""
    options = 0
    while stop - at >= 1:
        kind = u8(data, at)
        if kind == 1:  # padding
            at += 1
            continue
        if kind == 0 or stop - at < 2:
            break
        size = u8(data, at + 1)
        if size < 2 or size > stop - at:
            break
        if kind == 2 and size == 4:
            options |= OPT_MSS
            packet.mss = u16(data, at + 2)
        elif kind == 3 and size == 3:
            options |= OPT_WSCALE
            packet.window_scale = min(u8(data, at + 2), LARGEST_SHIFT)
        elif kind == 4 and size == 2:
            options |= OPT_SACK_OK
        elif kind == 5 and size >= 10:
            options |= OPT_SACK
        elif kind == 8 and size == 10:
            options |= OPT_TIMESTAMPS
        elif kind == 34:
            options |= OPT_FASTOPEN
        at += size
    packet.options = options


@helper
def _udp(data: Bytes, packet: Record, at: int, ip_end: int) -> int:
    end = packet.at + packet.captured
    if ip_end - at < 8:
        return MALFORMED_TRANSPORT
    if end - at < 8:
        return TRUNCATED_TRANSPORT
    length = u16(data, at + 4)
    if length == 0:  # jumbogram
        length = ip_end - at
    # The first fragment carries the length of the whole datagram, which counts here, once.
    if packet.fragment != FIRST_FRAGMENT:
        if length > ip_end - at:
            return MALFORMED_TRANSPORT
        there = packet.at + max(packet.wire, packet.captured) - at
        if length > there:
            packet.beyond = length - there
            length = there
    if length < 8:
        return MALFORMED_TRANSPORT
    packet.src_port = u16(data, at)
    packet.dst_port = u16(data, at + 2)
    packet.payload_bytes = length - 8
    if length >= 15 and end - at >= 15 and u8(data, at + 8) >= 0x80:
        quic(data, packet, at + 8, min(end, at + length))
    return FLOWS
