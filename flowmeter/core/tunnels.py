"""From a packet to the packet inside it, if the flow is to be the inner one.

A tunnelled packet is taken if it is whole in the outer one and belongs to a flow itself; else the
outer packet stays what it is. Ports tell what UDP carries: 4789 and 8472 VXLAN, 6081 Geneve, 2152
GTP-U.
"""

from __future__ import annotations

from flowmeter.core.ip import ip
from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import WHOLE, Bytes, Record, Records
from flowmeter.core.link import IPV4, IPV6, ethertype, link, raw_ip, typed
from flowmeter.core.reading import u8, u16
from flowmeter.core.rejects import FLOWS

DEEPEST = 8
ETHERNET_INSIDE, ERSPAN_2, ERSPAN_3 = 0x6558, 0x88BE, 0x22EB
NOTHING = -1


@compiled
def unwrap(data: Bytes, packets: Records, count: int) -> None:
    """Dissect the first ``count`` packets again, from the innermost IP header on."""
    for index in range(count):
        packet = packets[index]
        if packet.reject == FLOWS and _may_carry(packet):
            _innermost(data, packet)


@helper
def _may_carry(packet: Record) -> bool:
    if packet.fragment != WHOLE:
        return False
    if packet.protocol == 17:
        return packet.dst_port in (4789, 8472, 6081, 2152)
    return packet.protocol in (4, 41, 47)


@helper
def _innermost(data: Bytes, packet: Record) -> None:
    captured_end = packet.at + packet.captured
    kind, at = link(data, packet.link, packet.at + 0, captured_end)
    upper = ip(data, packet, kind, at)
    for _ in range(DEEPEST):
        end = at + packet.ip_bytes
        inner_kind, inner_at = _inside(data, packet, upper, min(end, captured_end))
        if inner_kind < 0:
            return
        upper = ip(data, packet, inner_kind, inner_at)
        if packet.reject != FLOWS or inner_at + packet.ip_bytes > end:
            ip(data, packet, kind, at)
            return
        if not _may_carry(packet):
            return
        kind, at = inner_kind, inner_at


@helper
def _inside(  # noqa: PLR0911 - one return per tunnel
    data: Bytes, packet: Record, at: int, end: int
) -> tuple[int, int]:
    """Find the IP header in what the tunnel header at ``at`` announces; a negative type if none."""
    if packet.protocol == 4:
        return IPV4, at
    if packet.protocol == 41:
        return IPV6, at
    if packet.protocol == 47:
        return _gre(data, at, end)
    at += 8
    if end - at < 8:
        return NOTHING, at
    if packet.dst_port == 2152:
        return _gtp(data, at, end)
    if packet.dst_port == 6081:
        # Version 0, and no control message; the length of options counts words.
        if u8(data, at) >> 6 or u8(data, at + 1) & 0x80:
            return NOTHING, at
        return _announced(data, u16(data, at + 2), at + 8 + 4 * u8(data, at), end)
    if u8(data, at) & 0x08 == 0:  # VXLAN without a network
        return NOTHING, at
    return typed(data, at + 20, end)


@helper
def _announced(data: Bytes, kind: int, at: int, end: int) -> tuple[int, int]:
    if kind == ETHERNET_INSIDE:
        return typed(data, at + 12, end)
    return ethertype(data, kind, at, end)


@helper
def _gre(  # noqa: PLR0911 - one return per version
    data: Bytes, at: int, end: int
) -> tuple[int, int]:
    if end - at < 4:
        return NOTHING, at
    flags, kind = u16(data, at), u16(data, at + 2)
    version = flags & 7
    if version > 1 or flags & 0x4000:  # source routes, which nobody sends
        return NOTHING, at
    # Checksum, key, sequence number, and PPTP's acknowledgement: four bytes each.
    at += 4 + 4 * ((flags >> 15) + (flags >> 13 & 1) + (flags >> 12 & 1))
    if version == 1:
        return _announced(data, kind, at + (flags >> 5 & 4), end)
    if kind == ERSPAN_2:
        return typed(data, at + (20 if flags & 0x1000 else 12), end)
    if kind == ERSPAN_3:
        if end - at < 12:
            return NOTHING, at
        return typed(data, at + 24 + 8 * (u8(data, at + 11) & 1), end)
    return _announced(data, kind, at, end)


@helper
def _gtp(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """GTP-U version 1: user data (message type 255) behind any extension headers."""
    flags = u8(data, at)
    if flags >> 4 != 3 or u8(data, at + 1) != 255:
        return NOTHING, at
    at += 8
    if flags & 7:
        at += 4
    # The type of an extension header is the last byte of what comes before it; 0: no more.
    while flags & 4 and end > at and u8(data, at - 1) != 0:
        size = 4 * u8(data, at)
        if size == 0:
            return NOTHING, at
        at += size
    return raw_ip(data, at, end)
