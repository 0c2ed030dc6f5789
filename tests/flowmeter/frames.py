"""Frames of every kind made by hand, and what the dissector makes of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard

from flowmeter.core.layout import LATER_FRAGMENT, QUIC_LONG, Records
from flowmeter.core.packet import PACKET
from flowmeter.core.rejects import REJECTS
from flowmeter.input.capture import CaptureReader, joined
from tests.flowmeter.conftest import (
    CLIENT,
    SERVER,
    Lab,
    Packet,
    ethernet,
    ip_packet,
    pcap_bytes,
    tcp,
    udp,
)

A6, B6 = "2001:db8::1", "2001:db8::2"
OUTER_A, OUTER_B = "192.0.2.1", "192.0.2.2"
DISSECTED: Final = (
    "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "version", "protocol",
    "fragment", "ttl", "tos", "flags", "options", "window_scale", "mss", "window", "ip_id",
    "hello", "ip_bytes", "payload_bytes", "seq", "ack", "hello_version", "hello_bytes",
)  # fmt: skip


def packed(lab: Lab, data: bytes, name: str) -> Path:
    """A file of these bytes, packed as its name says."""
    if name.endswith(".zst"):
        data = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return lab.file(data, name)


def read(path: Path, **options: Any) -> Records:
    """All packets of a capture."""
    batches = [batch.copy() for batch in CaptureReader(path, **options).batches()]
    return joined([np.zeros(0, PACKET), *batches])


def dissected(lab: Lab, frames: Sequence[bytes], *, link: int = 1, **options: Any) -> Records:
    """The packets of frames that follow each other by 1 ms."""
    packets = [Packet(number / 1000, frame) for number, frame in enumerate(frames)]
    return read(lab.file(pcap_bytes(packets, link=link)), **options)


def only(lab: Lab, frame: bytes, *, link: int = 1, **options: Any) -> Any:
    """The one packet of a frame."""
    (packet,) = dissected(lab, [frame], link=link, **options)
    return packet


def reason(packet: Any) -> str:
    """Why the packet is in no flow, '' if it is in one."""
    return REJECTS[packet["reject"]][0]


def fields(packet: Any) -> dict[str, int]:
    """All that the dissector fills; the key is where the addresses were."""
    told = {name: int(packet[name]) for name in DISSECTED}
    if not packet["reject"] and not packet["from_low"]:
        for half in ("hi", "lo"):
            told[f"src_{half}"], told[f"dst_{half}"] = told[f"dst_{half}"], told[f"src_{half}"]
    return told


def label(number: int, *, bottom: bool) -> bytes:
    return struct.pack(">I", number << 12 | bottom << 8 | 64)


def mpls(inside: bytes, *, labels: int = 2, kind: int = 0x8847) -> bytes:
    stack = b"".join(label(16 + at, bottom=at == labels - 1) for at in range(labels))
    return bytes(12) + struct.pack(">H", kind) + stack + inside


def ppp(ip: bytes) -> bytes:
    return (b"\x00\x57" if ip[0] >> 4 == 6 else b"\x00\x21") + ip


def pppoe(inside: bytes, *, kind: int = 0x8864, code: int = 0) -> bytes:
    head = struct.pack(">HBBHH", kind, 0x11, code, 7, len(inside))
    return bytes(12) + head + inside


def backbone(frame: bytes) -> bytes:
    return bytes(12) + struct.pack(">HI", 0x88E7, 1000) + frame


def outer(protocol: int, body: bytes, *, v6: bool = False) -> bytes:
    addresses = ("2001:db8:f::1", "2001:db8:f::2") if v6 else (OUTER_A, OUTER_B)
    return ip_packet(*addresses, protocol, body)


def carried(port: int, body: bytes) -> bytes:
    """A datagram between the tunnel's ends."""
    return outer(17, struct.pack(">HHHH", 50000, port, 8 + len(body), 0) + body)


def gre(inside: bytes, kind: int = 0x0800, *, flags: int = 0, words: int = 0) -> bytes:
    return outer(47, struct.pack(">HH", flags, kind) + bytes(4 * words) + inside)


def vxlan(frame: bytes, *, port: int = 4789) -> bytes:
    return carried(port, struct.pack(">II", 0x08000000, 5 << 8) + frame)


def geneve(inside: bytes, kind: int, *, options: bytes = b"") -> bytes:
    return carried(
        6081, struct.pack(">BBHI", len(options) // 4, 0, kind, 5 << 8) + options + inside
    )


def gtp(ip: bytes, *, flags: int = 0x30, kind: int = 255, more: bytes = b"") -> bytes:
    return carried(2152, struct.pack(">BBHI", flags, kind, len(more + ip), 9) + more + ip)


def handshake(kind: int, version: int, size: int) -> bytes:
    """The beginning of a TLS record with a handshake message."""
    message = bytes([kind]) + size.to_bytes(3, "big") + struct.pack(">H", version) + bytes(40)
    return struct.pack(">BHH", 0x16, 0x0301, len(message)) + message


def with_payload(segment: bytes, payload: bytes) -> bytes:
    """A TCP segment or UDP datagram with this payload, to be put into `ip_packet`."""
    if segment[12:13] == b"\x50" and len(segment) == 20:
        return segment + payload
    return segment[:4] + struct.pack(">HH", 8 + len(payload), 0) + payload


def with_options(segment: bytes, options: bytes) -> bytes:
    """A TCP segment with options, which are padded to whole words with zeros."""
    options += bytes(-len(options) % 4)
    head = segment[:12] + bytes([(5 + len(options) // 4) << 4]) + segment[13:20]
    return head + options + segment[20:]


def fragments(protocol: int, body: bytes, cuts: Sequence[int], *, number: int = 7) -> list[bytes]:
    """The IPv4 packets of a body cut at these places, which are multiples of eight."""
    packets = []
    for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        field = begin // 8 | (0x2000 if end < len(body) else 0)
        packet = bytearray(ip_packet(CLIENT, SERVER, protocol, body[begin:end], fragment=field))
        packet[4:6] = struct.pack(">H", number)
        packets.append(ethernet(bytes(packet)))
    return packets


def fragments6(protocol: int, body: bytes, cuts: Sequence[int], *, number: int = 7) -> list[bytes]:
    """As `fragments`, with IPv6's fragment header."""
    packets = []
    for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        head = struct.pack(">BBHI", protocol, 0, begin | (end < len(body)), number)
        packets.append(ethernet(ip_packet(A6, B6, 44, head + body[begin:end])))
    return packets


def every_kind() -> list[tuple[int, bytes]]:
    """One valid frame of each kind that is read, with its link type."""
    segment = with_options(tcp("SA", 5, 6), b"\x02\x04\x05\xb4\x04\x02\x08\x0a" + bytes(8))
    sack = with_options(tcp("A", 5, 6), b"\x01\x01\x05\x12" + bytes(16))
    client = with_payload(tcp("PA", 1, 1), handshake(1, 0x0303, 44))
    initial = with_payload(udp(), b"\xc3\0\0\0\1\x08" + bytes(60))
    negotiation = with_payload(udp(), b"\x80\0\0\0\0\2ab\3cde\0\0\0\1\x1a\x2a\x3a\x4a")
    chain = bytes([43, 0]) + bytes(6) + bytes([51, 2]) + bytes(22) + bytes([17, 4]) + bytes(22)
    ips = [
        ip_packet(CLIENT, SERVER, 6, segment), ip_packet(A6, B6, 6, sack),
        ip_packet(CLIENT, SERVER, 6, client), ip_packet(A6, B6, 17, initial),
        ip_packet(CLIENT, SERVER, 17, negotiation), ip_packet(CLIENT, SERVER, 1, bytes(64)),
        ip_packet(A6, B6, 58, bytes(24)), ip_packet(CLIENT, SERVER, 132, bytes(40)),
        ip_packet(A6, B6, 0, chain + udp(9)), ip_packet(CLIENT, SERVER, 50, bytes(30)),
    ]  # fmt: skip
    four, six = ips[2], ips[3]
    extension = struct.pack(">HBB", 7, 0, 0x85) + bytes([1, 0x10, 0, 0])
    ips += [
        outer(4, four), outer(41, six), gre(four),
        gre(bytes(4) + ethernet(six), 0x6558, flags=0x2000),
        gre(ppp(four), 0x880B, flags=0x3081, words=3), vxlan(ethernet(four)), gtp(six),
        gre(bytes(8) + ethernet(four), 0x88BE, flags=0x1000, words=1),
        gre(bytes(12) + ethernet(four), 0x22EB, flags=0x1000, words=1),
        geneve(ethernet(four), 0x6558, options=bytes(8)), gtp(four, flags=0x34, more=extension),
        outer(4, outer(4, vxlan(ethernet(gre(six, 0x86DD))))),
    ]  # fmt: skip
    frames = [(1, ethernet(ip)) for ip in ips]
    frames += [(1, frame) for frame in fragments(17, udp(80), [40, 64])]
    frames += [(1, frame) for frame in fragments6(6, with_payload(tcp("A"), bytes(80)), [40])]
    for ip in (four, six):
        kind = ethernet(ip)[12:14]
        frames += [
            (1, ethernet(ip, tags=(0x88A8, 0x8100))), (1, mpls(ip)), (1, pppoe(ppp(ip))),
            (1, mpls(bytes(4) + ethernet(ip))), (1, backbone(ethernet(ip))), (9, ppp(ip)),
            (50, b"\xff\x03" + ppp(ip)), (51, pppoe(ppp(ip))[14:]), (101, ip),
            (0, (2 if ip is four else 30).to_bytes(4, "little") + ip),
            (108, (2 if ip is four else 30).to_bytes(4, "big") + ip),
            (104, b"\x0f\0" + kind + ip), (113, bytes(14) + kind + ip),
            (276, kind + bytes(18) + ip), (1, bytes(12) + b"\0\x40\xaa\xaa\3\0\0\0" + kind + ip),
        ]  # fmt: skip
    return frames


def check(packets: Records) -> None:
    """Each packet is in a flow with fields that can be, or has one of the reasons."""
    assert np.all((packets["reject"] >= 0) & (packets["reject"] < len(REJECTS)))
    found = packets[packets["reject"] == 0]
    assert np.all(found["time_ns"] >= 0)
    assert np.all((found["payload_bytes"] >= 0) & (found["ip_bytes"] > 0))
    assert np.all(np.isin(found["version"], (4, 6)))
    assert np.all(found["fragment"] <= 2)
    assert np.all((found["window_scale"] >= -1) & (found["window_scale"] <= 14))
    assert np.all(found["hello"] <= QUIC_LONG)
    assert np.all(found["hello_bytes"] >= 0)
    ports = found[~np.isin(found["protocol"], (6, 17, 132))]
    assert not np.any(ports["src_port"] | ports["dst_port"])
    rest = found[found["protocol"] != 6]
    assert not np.any(rest["flags"] | rest["options"] | rest["seq"] | rest["window"])
    assert not np.any(found[found["fragment"] == LATER_FRAGMENT]["flags"])
