"""Captures made by hand: frames as bytes, files in every format, and the rows that come out."""

from __future__ import annotations

import gzip
import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowmeter import MeterConfig, MeterResult, meter

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}
CLIENT, SERVER = "198.18.0.1", "198.18.0.2"


@dataclass(frozen=True)
class Packet:
    """A frame, when it was captured, and how long it was on the wire if it was cut."""

    time_s: float
    frame: bytes
    wire: int | None = None

    @property
    def time_ns(self) -> int:
        return START_NS + round(self.time_s * 1e6) * 1000

    @property
    def wire_bytes(self) -> int:
        return len(self.frame) if self.wire is None else self.wire


def ip_packet(src: str, dst: str, protocol: int, body: bytes, *, fragment: int = 0) -> bytes:
    source, target = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if source.version == 6:
        head = struct.pack(">IHBB", 6 << 28, len(body), protocol, 64)
    else:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, fragment, 64, protocol, 0)
    return head + source.packed + target.packed + body


def tcp(
    flags: str, seq: int = 0, ack: int = 0, payload: int = 0, *, sport: int = 40000,
    dport: int = 443, window: int = 65535,
) -> bytes:  # fmt: skip
    bits = sum(FLAGS[flag] for flag in flags)
    ports = struct.pack(">HHII", sport, dport, seq % 2**32, ack % 2**32)
    return ports + struct.pack(">BBHHH", 5 << 4, bits, window, 0, 0) + bytes(payload)


def udp(payload: int = 0, *, sport: int = 5000, dport: int = 53) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + payload, 0) + bytes(payload)


def ethernet(ip: bytes, *, tags: Sequence[int] = ()) -> bytes:
    vlan = b"".join(struct.pack(">HH", tag, 5) for tag in tags)
    return bytes(12) + vlan + (b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\x00") + ip


def up(time_s: float, segment: bytes, *, src: str = CLIENT, dst: str = SERVER) -> Packet:
    """A segment from the client in an Ethernet frame; UDP if it was made by `udp`."""
    protocol = 6 if len(segment) >= 20 and segment[12] == 0x50 else 17
    return Packet(time_s, ethernet(ip_packet(src, dst, protocol, segment)))


def down(time_s: float, segment: bytes) -> Packet:
    """A segment from the server: its ports are swapped here."""
    swapped = segment[2:4] + segment[:2] + segment[4:]
    return up(time_s, swapped, src=SERVER, dst=CLIENT)


def pcap_bytes(
    packets: Sequence[Packet], *, order: str = "<", unit_ns: int = 1000, link: int = 1
) -> bytes:
    magic = 0xA1B2C3D4 if unit_ns == 1000 else 0xA1B23C4D
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for packet in packets:
        seconds, rest = divmod(packet.time_ns, SECOND_NS)
        head = (seconds, rest // unit_ns, len(packet.frame), packet.wire_bytes)
        data += struct.pack(order + "IIII", *head) + packet.frame
    return data


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def enhanced(packet: Packet, ticks: int, number: int = 0, order: str = "<") -> bytes:
    head = (number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet.frame), packet.wire_bytes)
    return block(6, struct.pack(order + "IIIII", *head) + packet.frame, order)


def pcapng_bytes(packets: Sequence[Packet], *, order: str = "<") -> bytes:
    blocks = [enhanced(packet, packet.time_ns // 1000, order=order) for packet in packets]
    return section(order) + interface(order=order) + b"".join(blocks)


def exact(result: MeterResult) -> str:
    """The rows to the last bit, NaN equal to NaN."""
    return repr(result.table.to_pylist())


class Lab:
    """Writes captures into a folder and meters them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, data: bytes, name: str = "capture.pcap") -> Path:
        path = self.folder / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def meter(self, packets: Sequence[Packet], **config: Any) -> MeterResult:
        return meter(self.file(pcap_bytes(packets)), config=MeterConfig(**config))

    def rows(self, packets: Sequence[Packet], **config: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.meter(packets, **config).table.to_pylist()
        return rows


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("captures"))
