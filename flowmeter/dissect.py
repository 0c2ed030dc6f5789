"""From a frame to what a flow needs of it, or to the one reason why it is in no flow.

Lengths come from the headers, never from how much was captured, so a small snaplen changes nothing
as long as the fixed headers are there. Payload ends where the frame ended on the wire, whatever an
IP length beyond that claims. Every read is checked against the captured end first.
"""

from __future__ import annotations

from typing import Final

from flowmeter.jit import compiled
from flowmeter.layout import Bytes, Record, Records

# Reject codes. They are the positions of REJECTS, and live here with the code that gives them.
FLOWS = 0
UNKNOWN_LINK, NO_TIME, TRUNCATED_LINK, LLC, ARP, OTHER_ETHERTYPE = 1, 2, 3, 4, 5, 6
TRUNCATED_IP, MALFORMED_IP, FRAGMENT, ICMP, OTHER_PROTOCOL = 7, 8, 9, 10, 11
TRUNCATED_TRANSPORT, MALFORMED_TRANSPORT = 12, 13

REJECTS: Final = (
    ("", "the packet is in a flow"),
    ("unknown_link_type", "the link type is none of those read, or its interface is unknown"),
    ("no_time", "the record has no time stamp, or one that cannot be (10^6 µs or more)"),
    ("truncated_link", "captured less than the link-layer header and its VLAN tags"),
    ("llc", "IEEE 802.2 frame that carries no IP (spanning tree, IS-IS, …)"),
    ("arp", "ARP or RARP"),
    ("other_ethertype", "neither IP nor ARP (MPLS, PPPoE, LLDP, …), or over eight VLAN tags"),
    ("truncated_ip", "captured less than the IP header and its extension headers"),
    ("malformed_ip", "IP version or lengths contradict each other"),
    ("fragment_without_ports", "a later IP fragment: its ports are in the first one"),
    ("icmp", "ICMP or ICMPv6"),
    ("other_protocol", "another IP protocol (SCTP, GRE, ESP, IP in IP, …)"),
    ("truncated_transport", "captured less than the fixed TCP or UDP header"),
    ("malformed_transport", "TCP or UDP lengths contradict each other or the IP length"),
)

TCP, UDP = 6, 17
IPV4, IPV6 = 0x0800, 0x86DD


@compiled
def dissect(data: Bytes, packets: Records, count: int) -> None:
    """Fill the dissector's half of the first ``count`` packets of a block."""
    for index in range(count):
        packet = packets[index]
        if packet.time_ns < 0:
            packet.reject = NO_TIME
            continue
        ethertype, at = _link(data, packet.link, packet.at, packet.at + packet.captured)
        if ethertype < 0:
            packet.reject = -ethertype
        elif ethertype == IPV4:
            packet.reject = _ipv4(data, packet, at)
        else:
            packet.reject = _ipv6(data, packet, at)


# To numba, uint8 with an int literal is int64, while int(uint8) is uint64, and the two mixed are a
# float: so bytes become numbers in these four functions only.
@compiled
def _u8(data: Bytes, at: int) -> int:
    value: int = data[at] + 0
    return value


@compiled
def _u16(data: Bytes, at: int) -> int:
    return _u8(data, at) * 256 + _u8(data, at + 1)


@compiled
def _u32(data: Bytes, at: int) -> int:
    return _u16(data, at) * 65536 + _u16(data, at + 2)


@compiled
def _u64(data: Bytes, at: int) -> int:
    return (_u32(data, at) << 32) | _u32(data, at + 4)


@compiled
def _link(  # noqa: PLR0911 - one return per link type
    data: Bytes, link: int, at: int, end: int
) -> tuple[int, int]:
    """The IP ethertype and where its header begins; a negative reject code instead of the type."""
    if link == 1:  # Ethernet
        return _ethertype(data, at + 12, end)
    if link == 113:  # Linux cooked v1
        return _ethertype(data, at + 14, end)
    if link == 276:  # Linux cooked v2: the type comes first
        if end - at < 20:
            return -TRUNCATED_LINK, at
        ethertype = _u16(data, at)
        if ethertype in (IPV4, IPV6):
            return ethertype, at + 20
        return -ARP if ethertype == 0x0806 else -OTHER_ETHERTYPE, at
    if link in (0, 108):  # loopback: an address family, in either byte order
        return _loopback(data, at, end)
    if link in (12, 14, 101, 228, 229):  # raw IP
        return _raw_ip(data, at, end)
    return -UNKNOWN_LINK, at


@compiled
def _ethertype(data: Bytes, at: int, end: int) -> tuple[int, int]:
    for _ in range(9):
        if end - at < 2:
            return -TRUNCATED_LINK, at
        ethertype = _u16(data, at)
        if ethertype in (IPV4, IPV6):
            return ethertype, at + 2
        if ethertype in (0x8100, 0x88A8, 0x9100, 0x9200):  # a VLAN tag: its type follows
            at += 4
        elif ethertype in (0x0806, 0x8035):
            return -ARP, at
        elif ethertype > 1500:
            return -OTHER_ETHERTYPE, at
        elif end - at >= 10 and _u32(data, at + 2) == 0xAAAA0300 and _u16(data, at + 6) == 0:
            at += 8  # SNAP: a type follows
        else:
            return -LLC, at
    return -OTHER_ETHERTYPE, at


@compiled
def _loopback(data: Bytes, at: int, end: int) -> tuple[int, int]:
    if end - at < 4:
        return -TRUNCATED_LINK, at
    family = _u32(data, at)
    if family > 0xFFFF:
        family = _u8(data, at) + 256 * _u8(data, at + 1)
    if family == 2:
        return IPV4, at + 4
    if family in (10, 24, 28, 30):  # AF_INET6 of Linux, the BSDs and macOS
        return IPV6, at + 4
    return -OTHER_ETHERTYPE, at


@compiled
def _raw_ip(data: Bytes, at: int, end: int) -> tuple[int, int]:
    if end <= at:
        return -TRUNCATED_IP, at
    version = _u8(data, at) >> 4
    if version == 4:
        return IPV4, at
    return (IPV6 if version == 6 else -MALFORMED_IP), at


@compiled
def _ipv4(data: Bytes, packet: Record, at: int) -> int:
    end = packet.at + packet.captured
    if end - at < 20:
        return TRUNCATED_IP
    header = (_u8(data, at) & 15) * 4
    length = _u16(data, at + 2)
    if length == 0:  # segmentation offload: the frame is larger than the field can say
        length = packet.wire - (at - packet.at)
    if _u8(data, at) >> 4 != 4 or header < 20 or length < header:
        return MALFORMED_IP
    if end - at < header:
        return TRUNCATED_IP
    packet.version = 4
    packet.ip_bytes = length
    packet.ttl = data[at + 8]
    packet.src_hi = packet.dst_hi = 0
    packet.src_lo = _u32(data, at + 12)
    packet.dst_lo = _u32(data, at + 16)
    fragment = _u16(data, at + 6) & 0x3FFF
    if fragment & 0x1FFF:
        return FRAGMENT
    packet.fragmented = fragment != 0
    return _upper(data, packet, _u8(data, at + 9), at + header, at + length)


@compiled
def _ipv6(data: Bytes, packet: Record, at: int) -> int:
    end = packet.at + packet.captured
    if end - at < 40:
        return TRUNCATED_IP
    if _u8(data, at) >> 4 != 6:
        return MALFORMED_IP
    length = 40 + _u16(data, at + 4)
    if length == 40 and _u8(data, at + 6) != 59:  # jumbogram or segmentation offload
        length = packet.wire - (at - packet.at)
    packet.version = 6
    packet.ip_bytes = length
    packet.ttl = data[at + 7]
    packet.fragmented = False
    packet.src_hi = _u64(data, at + 8)
    packet.src_lo = _u64(data, at + 16)
    packet.dst_hi = _u64(data, at + 24)
    packet.dst_lo = _u64(data, at + 32)
    return _upper(data, packet, _u8(data, at + 6), at + 40, at + length)


@compiled
def _upper(  # noqa: PLR0911 - one return per reason
    data: Bytes, packet: Record, protocol: int, at: int, ip_end: int
) -> int:
    """Walk extension headers, then the transport header."""
    end = packet.at + packet.captured
    wire_end = packet.at + max(packet.wire, packet.captured)
    while protocol in (0, 43, 44, 51, 60, 135, 139, 140):
        if packet.version == 4 and protocol != 51:  # IPv4 knows the authentication header only
            return OTHER_PROTOCOL
        if ip_end - at < 8:
            return MALFORMED_IP
        if end - at < 8:
            return TRUNCATED_IP
        if protocol == 44:
            fragment = _u16(data, at + 2)
            if fragment & 0xFFF8:
                return FRAGMENT
            packet.fragmented = (fragment & 1) != 0
            size = 8
        elif protocol == 51:
            size = (_u8(data, at + 1) + 2) * 4
        else:
            size = (_u8(data, at + 1) + 1) * 8
        protocol = _u8(data, at)
        at += size
    packet.protocol = protocol
    if protocol == TCP:
        return _tcp(data, packet, at, ip_end, wire_end)
    if protocol == UDP:
        return _udp(data, packet, at, ip_end, wire_end)
    return ICMP if protocol in (1, 58) else OTHER_PROTOCOL


@compiled
def _tcp(data: Bytes, packet: Record, at: int, ip_end: int, wire_end: int) -> int:
    if ip_end - at < 20:
        return MALFORMED_TRANSPORT
    if packet.at + packet.captured - at < 20:
        return TRUNCATED_TRANSPORT
    header = (_u8(data, at + 12) >> 4) * 4
    if header < 20 or header > ip_end - at:
        return MALFORMED_TRANSPORT
    packet.src_port = _u16(data, at)
    packet.dst_port = _u16(data, at + 2)
    packet.seq = _u32(data, at + 4)
    packet.ack = _u32(data, at + 8)
    packet.flags = data[at + 13]
    packet.window = _u16(data, at + 14)
    packet.payload_bytes = max(min(ip_end, wire_end) - at - header, 0)
    return FLOWS


@compiled
def _udp(data: Bytes, packet: Record, at: int, ip_end: int, wire_end: int) -> int:
    if ip_end - at < 8:
        return MALFORMED_TRANSPORT
    if packet.at + packet.captured - at < 8:
        return TRUNCATED_TRANSPORT
    length = _u16(data, at + 4)
    if length == 0:  # jumbogram
        length = ip_end - at
    # The first fragment carries the length of the whole datagram, which counts here, once.
    if not packet.fragmented:
        if length > ip_end - at:
            return MALFORMED_TRANSPORT
        length = min(length, wire_end - at)
    if length < 8:
        return MALFORMED_TRANSPORT
    packet.src_port = _u16(data, at)
    packet.dst_port = _u16(data, at + 2)
    packet.flags = 0
    packet.payload_bytes = length - 8
    return FLOWS
