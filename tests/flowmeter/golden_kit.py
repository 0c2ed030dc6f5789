"""What the golden captures are made with: scapy packets, times, and what is expected of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.flowmeter.conftest import SECOND_NS, START_NS

CLIENT, SERVER = "198.18.0.1", "198.18.0.2"
CLIENT6, SERVER6 = "2001:db8::1", "2001:db8::2"
SPORT, DPORT = 40000, 443
MAC: Final = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


@dataclass(frozen=True)
class Frame:
    """A frame, its time, and how long it was on the wire if less was captured."""

    time_ns: int
    data: bytes
    wire: int | None = None

    @property
    def wire_bytes(self) -> int:
        return len(self.data) if self.wire is None else self.wire


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A capture, and what a person says is in it.

    ``facts`` has for each row, in order of first packet, what was worked out by hand; the stored
    rows, which have every column, must agree with it. ``files`` are the capture's files if they are
    not one plain pcap of ``frames``: pairs of a name and content.
    """

    frames: Sequence[Frame]
    facts: Sequence[dict[str, Any]]
    files: Sequence[tuple[str, bytes]] = ()
    link: int = 1
    config: dict[str, Any] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)


GOLDEN: Final[dict[str, Callable[[], Golden]]] = {}


def golden(build: Callable[[], Golden]) -> Callable[[], Golden]:
    """Add a capture to the suite, under its function's name."""
    GOLDEN[build.__name__] = build
    return build


def ns(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def ether(packet: Packet) -> bytes:
    return bytes(Ether(**MAC) / packet)


def at(seconds: float, packet: Packet | bytes) -> Frame:
    """A frame at a time; an IP packet gets an Ethernet header."""
    return Frame(ns(seconds), packet if isinstance(packet, bytes) else ether(packet))


def up(
    flags: str, seq: int = 0, ack: int = 0, size: int | bytes = 0, *, sport: int = SPORT,
    dport: int = DPORT, window: int = 65535, options: Sequence[Any] = (), ip_id: int = 1,
    src: str = CLIENT, dst: str = SERVER,
) -> Packet:  # fmt: skip
    """A TCP segment from the client."""
    load = size if isinstance(size, bytes) else bytes(size)
    head = TCP(
        sport=sport, dport=dport, flags=flags, seq=seq % 2**32, ack=ack % 2**32, window=window,
        options=list(options),
    )  # fmt: skip
    return IP(src=src, dst=dst, id=ip_id) / head / Raw(load)


def down(flags: str, seq: int = 0, ack: int = 0, size: int | bytes = 0, **more: Any) -> Packet:
    """A TCP segment from the server."""
    ports = {"sport": more.pop("dport", DPORT), "dport": more.pop("sport", SPORT)}
    return up(flags, seq, ack, size, src=SERVER, dst=CLIENT, **ports, **more)


def datagram(
    size: int | bytes = 0, *, sport: int = 5000, dport: int = 53, back: bool = False
) -> Packet:
    load = size if isinstance(size, bytes) else bytes(size)
    ends = (SERVER, CLIENT) if back else (CLIENT, SERVER)
    ports = (dport, sport) if back else (sport, dport)
    head = UDP(sport=ports[0], dport=ports[1])
    return IP(src=ends[0], dst=ends[1], id=1) / head / Raw(load)


def datagram6(size: int = 0) -> Packet:
    return IPv6(src=CLIENT6, dst=SERVER6) / UDP(sport=5000, dport=53) / Raw(bytes(size))


def opened(begin_s: float = 0.0) -> list[Frame]:
    """A handshake: ISNs 1000 and 5000, 10 ms from SYN to SYN-ACK, 5 ms more to the ACK."""
    return [
        at(begin_s, up("S", 1000)),
        at(begin_s + 0.010, down("SA", 5000, 1001)),
        at(begin_s + 0.015, up("A", 1001, 5001)),
    ]


def fact(packets: tuple[int, int], **more: Any) -> dict[str, Any]:
    """Packets of both sides, and more."""
    return {"c2s_packets": packets[0], "s2c_packets": packets[1], **more}
