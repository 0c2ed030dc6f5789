"""Frames to what a meter needs of them, header by header, each header read by scapy.

Lengths are those of the headers; payload ends where the frame did on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, SNAP, CookedLinux, CookedLinuxV2, Dot1Q, Ether
from scapy.layers.ppp import PPPoE
from scapy.layers.sctp import SCTP
from scapy.layers.vxlan import VXLAN

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
LONGEST_802_3 = 1500
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)
TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
TUNNEL_PORTS = {4789: VXLAN, 6081: GENEVE, 2152: GTP_U_Header}


class Unmetered(Exception):  # noqa: N818 - a verdict about a packet, nobody's mistake
    """The packet is in no flow."""


@dataclass(frozen=True)
class Seen:
    """One packet, dissected."""

    time_ns: int
    version: int
    src: str
    dst: str
    protocol: int
    ip_bytes: int
    ttl: int
    tos: int
    ip_id: int | None
    sport: int = 0
    dport: int = 0
    payload: int = 0
    content: bytes = b""  # of the payload, as far as it was captured
    tcp: Any = None
    fragment: tuple[int, bool, int] | None = None  # identification, whether it is the first, offset
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def flags(self) -> int:
        return 0 if self.tcp is None else int(self.tcp.flags) & 255

    @property
    def length(self) -> int:
        """Sequence numbers that a TCP segment takes."""
        return self.payload + bool(self.flags & SYN) + bool(self.flags & FIN)

    @property
    def pure_ack(self) -> bool:
        return self.payload == 0 and self.flags & (ACK | SYN | FIN | RST) == ACK


def dissected(
    time_ns: int, frame: bytes, *, wire: int | None = None, link: int = 1, inner: bool = False
) -> Seen:
    """The packet in a frame of which ``wire`` bytes were on the wire."""
    missing = 0 if wire is None else max(wire - len(frame), 0)
    kind, data = _network(frame, link)
    seen = _ip(time_ns, kind, data, len(data) + missing)
    while inner and (below := _inside(seen, data, missing)) is not None:
        seen, data = below
    return seen


def _network(frame: bytes, link: int) -> tuple[int, bytes]:
    """The ethertype of the IP packet in a frame, and the packet's bytes."""
    if link == 1:
        kind, data = int.from_bytes(frame[12:14], "big"), frame[14:]
        if kind <= LONGEST_802_3:
            return SNAP(data[3:8]).code, data[8:]
        return _ethertype(Ether(frame[:14]).type, data)
    if link == 113:
        return _ethertype(CookedLinux(frame[:16]).proto, frame[16:])
    if link == 276:
        return _ethertype(CookedLinuxV2(frame[:20]).proto, frame[20:])
    if link in (0, 108):
        return _by_version(frame[4:])
    return _by_version(frame)


def _by_version(data: bytes) -> tuple[int, bytes]:
    return {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4 if data else 0, 0), data


def _ethertype(kind: int, data: bytes) -> tuple[int, bytes]:
    while kind in TAGS:
        kind, data = Dot1Q(data[:4]).type, data[4:]
    if kind in (0x8847, 0x8848):
        while not MPLS(data[:4]).s:
            data = data[4:]
        return _by_version(data[4:])
    if kind == 0x8864:
        header = PPPoE(data[:6])
        protocol = int.from_bytes(data[6:8], "big")
        if header.code != 0 or protocol not in (0x21, 0x57):
            raise Unmetered
        return (0x0800 if protocol == 0x21 else 0x86DD), data[8:]
    return kind, data


def _ip(time_ns: int, kind: int, data: bytes, wire: int) -> Seen:
    if kind == 0x0800:
        head = IP(data[: (data[0] & 15) * 4])
        seen = Seen(
            time_ns, 4, head.src, head.dst, head.proto, head.len or wire, head.ttl, head.tos,
            head.id,
        )  # fmt: skip
        at = head.ihl * 4
        if head.frag or int(head.flags) & 1:
            seen = replace(seen, fragment=(head.id, head.frag == 0, head.frag * 8))
    elif kind == 0x86DD:
        head = IPv6(data[:40])
        size = 40 + head.plen if head.plen or head.nh == 59 else wire
        source, target = str(ip_address(head.src)), str(ip_address(head.dst))
        seen = Seen(time_ns, 6, source, target, head.nh, size, head.hlim, head.tc, None)
        seen, at = _extensions(seen, data)
    else:
        raise Unmetered
    return _transport(seen, data[at:], seen.ip_bytes - at, wire - at)


def _extensions(seen: Seen, data: bytes) -> tuple[Seen, int]:
    at, protocol = 40, seen.protocol
    while protocol in EXTENSIONS:
        size = (data[at + 1] + 1) * 8
        if protocol == 51:
            size = (data[at + 1] + 2) * 4
        if protocol == 44:
            size, word = 8, int.from_bytes(data[at + 2 : at + 4], "big")
            if word & 0xFFF9:
                number = int.from_bytes(data[at + 4 : at + 8], "big")
                seen = replace(seen, fragment=(number, word & 0xFFF8 == 0, word & 0xFFF8))
        protocol, at = data[at], at + size
        if seen.fragment and not seen.fragment[1]:
            break
    return replace(seen, protocol=protocol), at


def _transport(seen: Seen, data: bytes, room: int, wire: int) -> Seen:
    """Ports and payload; ``room`` is what the IP header says there is, ``wire`` what there was."""
    rest = max(min(room, wire), 0)
    if seen.fragment and not seen.fragment[1]:
        # Of TCP and UDP, only what the first fragment's header tells counts.
        return seen if seen.protocol in (6, 17) else replace(seen, payload=rest)
    if seen.protocol == 6:
        head = TCP(data[: (data[12] >> 4) * 4])
        size = head.dataofs * 4
        payload = max(min(room, wire) - size, 0)
        options = {str(name): value for name, value in head.options}
        return replace(
            seen, sport=head.sport, dport=head.dport, payload=payload, tcp=head, options=options,
            content=data[size : size + payload],
        )  # fmt: skip
    if seen.protocol == 17:
        head = UDP(data[:8])
        # The first fragment has the length of the whole datagram, which counts once.
        payload = (head.len if seen.fragment else min(head.len, wire)) - 8
        return replace(
            seen, sport=head.sport, dport=head.dport, payload=payload,
            content=data[8 : 8 + payload],
        )  # fmt: skip
    if seen.protocol == 132:
        head = SCTP(data[:12])
        return replace(seen, sport=head.sport, dport=head.dport, payload=rest - 12)
    return replace(seen, payload=max(rest - 8 * (seen.protocol in (1, 58)), 0))


def _inside(seen: Seen, data: bytes, missing: int) -> tuple[Seen, bytes] | None:
    """The packet inside a tunnel's packet, if it is one."""
    if seen.fragment and not seen.fragment[1]:
        return None
    at = 4 * (data[0] & 15) if seen.version == 4 else _extensions(seen, data)[1]
    kind, body = 0, data[at:]
    if seen.protocol in (4, 41):
        kind, body = _by_version(body)
    elif seen.protocol == 47:
        kind, body = _gre(body)
    elif seen.protocol == 17 and seen.dport in TUNNEL_PORTS:
        kind, body = _in_udp(seen.dport, body[8:])
    if kind == 0x6558:
        kind, body = _ethertype(Ether(body[:14]).type, body[14:])
    if kind not in (0x0800, 0x86DD):
        return None
    return _ip(seen.time_ns, kind, body, len(body) + missing), body


def _gre(data: bytes) -> tuple[int, bytes]:
    head = GRE(data[:16])
    size = 4 + 4 * (bool(head.chksum_present) + bool(head.key_present) + bool(head.seqnum_present))
    return head.proto, data[size:]


def _in_udp(port: int, data: bytes) -> tuple[int, bytes]:
    if port == 4789:
        return 0x6558, data[8:]
    if port == 6081:
        head = GENEVE(data[:8])
        return head.proto, data[8 + 4 * head.optionlen :]
    gtp = GTP_U_Header(data[:12])
    if gtp.gtp_type != 255:
        return 0, data
    size = 8 + 4 * bool(gtp.E or gtp.S or gtp.PN)
    following = data[11] if gtp.E else 0
    while following:  # extension headers: their length in words, …, the type of the next
        step = 4 * data[size]
        following, size = data[size + step - 1], size + step
    return _by_version(data[size:])


__all__ = ["ACK", "CWR", "ECE", "FIN", "PSH", "RST", "SYN", "URG", "Seen", "dissected"]
