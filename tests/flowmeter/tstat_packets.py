"""Frames as Tstat reads them: one VLAN tag, no later fragments, lengths as the headers claim."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowmeter.input.capture import CaptureReader
from tests.flowmeter.tstat_rules import Rules

TCP, UDP, ICMPV6, FRAGMENT = 6, 17, 58, 44
EXTENSIONS: Final = (0, 43, FRAGMENT, 60)
IN_IP: Final = (4, 41)
FIN, SYN, RST, ACK = 1, 2, 4, 16
PPP, WLAN = 9, 105  # link types
HEADERS: Final = {0: 4, 12: 0, 101: 0, 104: 4, 113: 16, WLAN: 32}  # bytes before IP
VLAN: Final = (0x8100, 0x88A8)


@dataclass(slots=True)
class Packet:
    """What of a TCP segment or a datagram Tstat looks at; ``time_us`` since 1970."""

    time_us: int
    source: bytes
    target: bytes
    sport: int
    dport: int
    tcp: bool
    version: int
    ip_id: int  # of IPv6: what stands at its place, the payload length
    ip_bytes: int
    ttl: int
    payload: int  # what the headers claim; may be negative
    checksum: int
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 0
    options: bytes = b""


def packets(path: Path, rules: Rules) -> Iterator[Packet | int]:
    """The packets of a capture that Tstat would look at, and the times (us) of all others."""
    reader = CaptureReader(path, corrupt="keep")
    for batch in reader.dissected():
        data = reader.data
        for time_ns, at, captured, link in batch[["time_ns", "at", "captured", "link"]].tolist():
            frame = bytes(data[at : at + captured])
            begin = _network(frame, link, rules)
            found = None
            if begin is not None and time_ns >= 0:
                found = _ip(frame[begin:], rules)
            if found is None:
                yield time_ns // 1000
            else:
                found.time_us = time_ns // 1000
                yield found


def _network(  # noqa: PLR0911 - one return per link
    frame: bytes, link: int, rules: Rules
) -> int | None:
    """Where the IP header begins, if the frame is taken for one with IP."""
    if link == PPP:
        return {b"\x0f": 4, b"\xff": 4, b"\x21": 1, b"\0": 2}.get(frame[:1])
    if link == WLAN and not rules.wlan:
        return None
    if link != 1:
        return HEADERS.get(link)
    kind = int.from_bytes(frame[12:14], "big")
    if kind in (0x0800, 0x86DD):
        return 14
    if kind in VLAN and not rules.one_tag:
        at = 12
        while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
            at += 4
        return at + 2 if frame[at : at + 2] in (b"\x08\x00", b"\x86\xdd") else None
    if kind == 0x8100:
        return 18
    if kind == 0x8864:
        return 22
    return None


def _ip(data: bytes, rules: Rules) -> Packet | None:
    if not data:
        return None
    version = data[0] >> 4
    if version == 4 and len(data) >= 20 and data[9] in IN_IP:
        inner = (data[0] & 15) * 4
        data = data[inner:]
        version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        return _ipv4(data, rules)
    return _ipv6(data, rules) if version == 6 and len(data) >= 40 else None


def _ipv4(data: bytes, rules: Rules) -> Packet | None:
    protocol, header = data[9], (data[0] & 15) * 4
    length = int.from_bytes(data[2:4], "big")
    if protocol not in (TCP, UDP) or int.from_bytes(data[6:8], "big") & 0x1FFF:
        return None
    last = length if length - 1 < len(data) - 1 else len(data) - 1
    packet = Packet(
        0, data[12:16], data[16:20], 0, 0, protocol == TCP, 4,
        int.from_bytes(data[4:6], "big"), length, data[8], length - header, 0,
    )  # fmt: skip
    return _transport(packet, data, header, last, rules)


def _ipv6(data: bytes, rules: Rules) -> Packet | None:
    at, protocol, last = 40, data[6], len(data) - 1
    length = int.from_bytes(data[4:6], "big")
    while protocol in EXTENSIONS and at < last:
        size = 8
        if protocol != FRAGMENT:
            size = (data[at + 1] + 1) * 8
        elif int.from_bytes(data[at + 2 : at + 4], "big") & 0xFFF8:
            return None
        protocol, at = data[at], at + size
    if protocol not in (TCP, UDP) or at >= last:
        return None
    packet = Packet(
        0, data[8:24], data[24:40], 0, 0, protocol == TCP, 6, length, length + 40, data[7],
        length - (at - 40), 0,
    )  # fmt: skip
    return _transport(packet, data, at, last, rules)


def _transport(packet: Packet, data: bytes, at: int, last: int, rules: Rules) -> Packet | None:
    """Ports and payload; ``last`` is the place of the last byte that Tstat believes to have."""
    room = packet.payload
    if at + (20 if packet.tcp else 8) - 1 > last or at + 8 > len(data):
        return None
    packet.sport, packet.dport = struct.unpack_from(">HH", data, at)
    if not packet.tcp:
        length, packet.checksum = struct.unpack_from(">HH", data, at + 4)
        packet.payload = length - 8
    else:
        if at + 20 > len(data):
            return None
        packet.seq, packet.ack, offset, packet.flags, packet.window, packet.checksum = (
            struct.unpack_from(">IIBBHH", data, at + 4)
        )
        header = (offset >> 4) * 4
        packet.payload -= header
        packet.options = data[at + 20 : min(at + header, last + 1)]
        at += header
    if not rules.unchecked_lengths and not 0 <= packet.payload <= room - 8 * (not packet.tcp):
        return None
    return packet
