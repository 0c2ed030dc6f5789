"""Half-open probes: TCP segments as a scanner builds them, and what comes back."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Container, Iterator

SYN, RST, ACK = 0x02, 0x04, 0x10
OPTIONS = (
    b"",
    b"\x02\x04\x05\xb4",
    b"\x02\x04\x05\xb4\x04\x02\x01\x01",
    b"\x02\x04\x05\xb4\x01\x03\x03\x07\x04\x02\x01\x01",
    b"\x02\x04\x05\xb4\x01\x03\x03\x0a\x04\x02\x08\x0a\xff\xff\xff\xff\x00\x00\x00\x00",
)
Target = tuple[str, int]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return int(~(total + (total >> 16)) & 0xFFFF)


def segment(source: str, target: Target, sport: int, sequence: int, options: bytes) -> bytes:
    """A SYN as a scanner builds it."""
    length = 20 + len(options)
    head = struct.pack("!HHIIBBHHH", sport, target[1], sequence, 0, length << 2, SYN, 1_024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target[0]) + struct.pack("!HH", 6, length)
    total = checksum(pseudo + head + options)
    return head[:16] + struct.pack("!H", total) + head[18:] + options


def answers(raw: socket.socket, sports: Container[int]) -> Iterator[tuple[Target, int]]:
    """Open and closed ports among the segments that have come in: the target and the flags."""
    while select.select([raw], [], [], 0)[0]:
        packet, (address, _) = raw.recvfrom(256)
        start = (packet[0] & 15) * 4
        sport, dport = struct.unpack("!HH", packet[start : start + 4])
        if dport in sports:
            yield (address, sport), packet[start + 13]
