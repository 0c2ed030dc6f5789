"""From the beginning of a frame to its IP header, past tags, labels and session headers.

Every function gives the IP version's EtherType and where the header begins; instead of the type, a
negative reject code.
"""

from __future__ import annotations

from flowmeter.core.jit import helper
from flowmeter.core.layout import Bytes
from flowmeter.core.reading import u8, u16, u32
from flowmeter.core.rejects import (
    ARP,
    LLC,
    MALFORMED_IP,
    OTHER_ETHERTYPE,
    TRUNCATED_IP,
    TRUNCATED_LINK,
    UNKNOWN_LINK,
)

IPV4, IPV6 = 0x0800, 0x86DD
MPLS, MPLS_MULTICAST, PPP, PPPOE, BACKBONE = 0x8847, 0x8848, 0x880B, 0x8864, 0x88E7
TYPE_FOLLOWS = 0  # no EtherType: another one is to be read


@helper
def link(  # noqa: C901 - one branch per link type
    data: Bytes, kind: int, at: int, end: int
) -> tuple[int, int]:
    """Find the IP header of a frame of a pcap link type in ``data[at:end]``."""
    if kind in (12, 14, 101, 228, 229):
        return raw_ip(data, at, end)
    if kind in (0, 108):  # loopback: an address family, in either byte order
        return _loopback(data, at, end)
    # What the frame carries, and where; the one call below is compiled once.
    carries, there = TYPE_FOLLOWS, at
    if kind in (9, 50) and (end <= at or u8(data, at) not in (0x0F, 0x8F)):
        carries = PPP
    elif kind == 51:
        carries = PPPOE
    elif kind == 1:  # Ethernet: two addresses, type
        there = at + 14
    elif kind == 113:  # Linux cooked v1
        there = at + 16
    elif kind == 276:  # Linux cooked v2: the type comes first
        there = at + 20
    elif kind in (9, 50, 104):  # Cisco HDLC, which PPP's link types may be too
        there = at + 4
    else:
        return -UNKNOWN_LINK, at
    if carries == TYPE_FOLLOWS:
        if there > end:
            return -TRUNCATED_LINK, at
        carries = u16(data, at if kind == 276 else there - 2)
    return ethertype(data, carries, there, end)


@helper
def typed(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Find the IP header behind a type field."""
    if end - at < 2:
        return -TRUNCATED_LINK, at
    return ethertype(data, u16(data, at), at + 2, end)


@helper
def ethertype(  # noqa: PLR0911, PLR0912, C901 - one branch per kind
    data: Bytes, kind: int, at: int, end: int
) -> tuple[int, int]:
    """Find the IP header in what an EtherType announces at ``at``; at most eight tags deep."""
    for _ in range(9):
        if kind in (IPV4, IPV6):
            return kind, at
        if kind in (0x8100, 0x88A8, 0x9100, 0x9200):  # VLAN tag
            at += 2
        elif kind in (0x0806, 0x8035):
            return -ARP, at
        elif kind == PPPOE:
            if end - at < 6:
                return -TRUNCATED_LINK, at
            if u16(data, at) != 0x1100:  # version 1, type 1, code 0: session data
                return -OTHER_ETHERTYPE, at
            at += 6
            kind = PPP
            continue
        elif kind == PPP:
            return _ppp(data, at, end)
        elif kind == BACKBONE:  # service tag, then a whole Ethernet frame
            at += 16
        elif kind in (MPLS, MPLS_MULTICAST):
            kind, at = _labels(data, at, end)
            if kind != TYPE_FOLLOWS:
                return kind, at
        elif kind > 1500:
            return -OTHER_ETHERTYPE, at
        elif end - at >= 8 and u32(data, at) == 0xAAAA0300 and u16(data, at + 4) == 0:
            at += 6  # SNAP
        else:
            return -LLC, at
        if end - at < 2:
            return -TRUNCATED_LINK, at
        kind = u16(data, at)
        at += 2
    return -OTHER_ETHERTYPE, at


@helper
def _labels(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Skip an MPLS label stack.

    Labels do not say what they carry; as routers do, the first half byte is taken for it: 4 and 6
    are IP, 0 is the control word of a pseudowire with Ethernet in it.
    """
    bottom = 0
    while bottom == 0:
        if end - at < 4:
            return -TRUNCATED_LINK, at
        bottom = u8(data, at + 2) & 1
        at += 4
    if end <= at:
        return -TRUNCATED_LINK, at
    half = u8(data, at) >> 4
    if half == 0:
        return TYPE_FOLLOWS, at + 16
    if half in (4, 6):
        return IPV4 if half == 4 else IPV6, at
    return -OTHER_ETHERTYPE, at


@helper
def _ppp(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Find the IP header in a PPP frame, with or without address, control, full protocol field."""
    if end - at >= 2 and u16(data, at) == 0xFF03:
        at += 2
    if end <= at:
        return -TRUNCATED_LINK, at
    protocol = u8(data, at)
    at += 1
    if protocol & 1 == 0:  # an odd byte is a protocol field compressed to that byte
        if end <= at:
            return -TRUNCATED_LINK, at
        protocol = protocol * 256 + u8(data, at)
        at += 1
    if protocol == 0x21:
        return IPV4, at
    return IPV6 if protocol == 0x57 else -OTHER_ETHERTYPE, at


@helper
def _loopback(data: Bytes, at: int, end: int) -> tuple[int, int]:
    if end - at < 4:
        return -TRUNCATED_LINK, at
    family = u32(data, at)
    if family > 0xFFFF:
        family = u8(data, at) + 256 * u8(data, at + 1)
    if family == 2:
        return IPV4, at + 4
    if family in (10, 24, 28, 30):  # AF_INET6 of Linux, the BSDs and macOS
        return IPV6, at + 4
    return -OTHER_ETHERTYPE, at


@helper
def raw_ip(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Tell the IP version by its own field."""
    if end <= at:
        return -TRUNCATED_IP, at
    version = u8(data, at) >> 4
    if version == 4:
        return IPV4, at
    return (IPV6 if version == 6 else -MALFORMED_IP), at
