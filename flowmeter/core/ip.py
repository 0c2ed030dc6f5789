"""IP headers with extension headers and fragments, and what they carry."""

from __future__ import annotations

from flowmeter.core.jit import helper
from flowmeter.core.layout import FIRST_FRAGMENT, LATER_FRAGMENT, NO_HELLO, WHOLE, Bytes, Record
from flowmeter.core.link import IPV4
from flowmeter.core.reading import u8, u16, u32
from flowmeter.core.rejects import FLOWS, MALFORMED_IP, TRUNCATED_IP
from flowmeter.core.transport import TCP, UDP, transport

AUTHENTICATION, FRAGMENT = 51, 44


@helper
def ip(data: Bytes, packet: Record, kind: int, at: int) -> int:
    """Fill all that the dissector fills from the IP header at ``at`` on.

    Returns where the header after IP and its extensions is, if the packet belongs to a flow.
    """
    packet.fragment = WHOLE
    packet.src_port = packet.dst_port = 0
    packet.flags = packet.options = 0
    packet.window_scale = -1
    packet.mss = packet.window = packet.ip_id = 0
    packet.seq = packet.ack = 0
    packet.hello = NO_HELLO
    packet.hello_version = packet.hello_bytes = packet.payload_bytes = packet.beyond = 0
    packet.reject = FLOWS
    upper = _ipv4(data, packet, at) if kind == IPV4 else _ipv6(data, packet, at)
    ip_end = at + packet.ip_bytes
    protocol = packet.protocol
    if (
        packet.reject == FLOWS
        and packet.fragment != LATER_FRAGMENT
        and protocol not in (TCP, UDP)
        and (packet.version == 6 or protocol == AUTHENTICATION)
    ):
        upper = _extensions(data, packet, upper, ip_end)
    if packet.reject != FLOWS:
        return upper
    if packet.fragment == LATER_FRAGMENT:
        wire_end = packet.at + max(packet.wire, packet.captured)
        packet.payload_bytes = max(min(ip_end, wire_end) - upper, 0)
    else:
        packet.reject = transport(data, packet, upper, ip_end)
    return upper


@helper
def _ipv4(data: Bytes, packet: Record, at: int) -> int:
    end = packet.at + packet.captured
    if end - at < 20:
        packet.reject = TRUNCATED_IP
        return at
    header = (u8(data, at) & 15) * 4
    length = u16(data, at + 2)
    if length == 0:  # segmentation offload: the frame is larger than the field can say
        length = packet.wire - (at - packet.at)
        packet.beyond = -1
    if u8(data, at) >> 4 != 4 or header < 20 or length < header:
        packet.reject = MALFORMED_IP
        return at
    if end - at < header:
        packet.reject = TRUNCATED_IP
        return at
    packet.version = 4
    packet.ip_bytes = length
    packet.tos = u8(data, at + 1)
    packet.ip_id = u16(data, at + 4)
    packet.ttl = u8(data, at + 8)
    packet.src_hi = packet.dst_hi = 0
    packet.src_lo = u32(data, at + 12)
    packet.dst_lo = u32(data, at + 16)
    protocol = u8(data, at + 9)
    packet.protocol = protocol
    fragment = u16(data, at + 6) & 0x3FFF
    if fragment:
        packet.fragment = LATER_FRAGMENT if fragment & 0x1FFF else FIRST_FRAGMENT
        packet.tag = (4 << 40) | (protocol << 32) | u16(data, at + 4)
    return at + header


@helper
def _ipv6(data: Bytes, packet: Record, at: int) -> int:
    if packet.at + packet.captured - at < 40:
        packet.reject = TRUNCATED_IP
        return at
    if u8(data, at) >> 4 != 6:
        packet.reject = MALFORMED_IP
        return at
    length = 40 + u16(data, at + 4)
    if length == 40 and u8(data, at + 6) != 59:  # jumbogram or segmentation offload
        length = max(packet.wire - (at - packet.at), 40)
    packet.version = 6
    packet.ip_bytes = length
    packet.tos = (u16(data, at) >> 4) & 255
    packet.ttl = u8(data, at + 7)
    packet.src_hi = (u32(data, at + 8) << 32) | u32(data, at + 12)
    packet.src_lo = (u32(data, at + 16) << 32) | u32(data, at + 20)
    packet.dst_hi = (u32(data, at + 24) << 32) | u32(data, at + 28)
    packet.dst_lo = (u32(data, at + 32) << 32) | u32(data, at + 36)
    packet.protocol = u8(data, at + 6)
    return at + 40


@helper
def _extensions(data: Bytes, packet: Record, at: int, ip_end: int) -> int:
    """Walk extension headers (of IPv4: the authentication header only) to the one after them."""
    end = packet.at + packet.captured
    protocol = packet.protocol + 0
    while protocol == AUTHENTICATION or (
        packet.version == 6 and protocol in (0, 43, FRAGMENT, 60, 135, 139, 140)
    ):
        if ip_end - at < 8 or end - at < 8:
            packet.reject = MALFORMED_IP if ip_end - at < 8 else TRUNCATED_IP
            return at
        size = (u8(data, at + 1) + 1) * 8
        if protocol == AUTHENTICATION:
            size = (u8(data, at + 1) + 2) * 4
        elif protocol == FRAGMENT:
            size = 8
            fragment = u16(data, at + 2)
            if fragment & 0xFFF9:  # else atomic: whole
                packet.fragment = LATER_FRAGMENT if fragment & 0xFFF8 else FIRST_FRAGMENT
                # IPv6 tells fragments by addresses and number: their next headers may differ.
                packet.tag = (6 << 40) | u32(data, at + 4)
        protocol = u8(data, at)
        at += size
        if packet.fragment == LATER_FRAGMENT:
            break
    packet.protocol = protocol
    return at
