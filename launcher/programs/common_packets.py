"""Packets of a capture played again: lab addresses in new IP headers, times and sizes as they were.

A packet goes when it is due and, over TCP, those before it, of the other end, have come. UDP's go
by the clock, which began with the first: a lost one holds up nobody. The kernel, which knows
nothing of these connections, would answer them with RST and ICMP; a socket that takes only packets
of more hops to go than any of these has keeps it quiet.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

TCP, UDP = 6, 17
LATE_S = 0.5  # how long TCP waits for a packet that is due from the other end
SILENT = 3  # so many waits in vain end a conversation
SILENT_S = 5.0  # over UDP: so many packets due and none heard for so long
IP_MINTTL, MOST_HOPS = 21, 255
Place = tuple[str, int]


class Packet(NamedTuple):
    """One packet of a conversation: its transport header as captured, and its payload."""

    from_client: bool
    at_s: float
    header: bytes
    payload: bytes


class Conversation(NamedTuple):
    """Both directions between two ends. ``identity`` is in the client's IP headers."""

    identity: int
    protocol: int
    client_port: int
    server_port: int
    start_s: float
    ttl: tuple[int, int]
    packets: list[Packet]

    @property
    def begins(self) -> bytes:
        """What tells its first packet from the others: TCP's sequence number, UDP's length."""
        first = self.packets[0]
        return first.header[4:8] if self.protocol == TCP else _length(first)


def conversations(name: str, text: str) -> list[Conversation]:
    """The conversations of a capture as the launcher packs them."""
    rows = json.loads(zlib.decompress(base64.b64decode(text)))
    found = []
    for number, row in enumerate(rows):
        packets = [
            Packet(bool(sender), at_us / 1e6, bytes.fromhex(header), _payload(size, kept))
            for sender, at_us, header, size, kept in row["packets"]
        ]
        identity = zlib.crc32(f"{name}/{number}".encode()) % 0xFFFF + 1
        ports = row["client_port"], row["server_port"]
        start_s, ttl = row["start_us"] / 1e6, (row["ttl"][0], row["ttl"][1])
        found.append(Conversation(identity, row["protocol"], *ports, start_s, ttl, packets))
    return found


def _length(packet: Packet) -> bytes:
    return struct.pack("!H", 8 + len(packet.payload))


def _payload(size: int, kept: str) -> bytes:
    return base64.b64decode(kept).ljust(size, b"\0")


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return int(~total & 0xFFFF)


def crafted(
    packet: Packet, protocol: int, source: Place, target: Place, *, ttl: int, identity: int
) -> bytes:
    """The packet between other end points, with the checksums of these."""
    ports = struct.pack("!HH", source[1], target[1])
    if protocol == TCP:
        head, at = ports + packet.header[4:16] + b"\0\0" + packet.header[18:], 16
    else:
        head, at = ports + _length(packet) + b"\0\0", 6
    ends = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    size = len(head) + len(packet.payload)
    total = checksum(ends + struct.pack("!HH", protocol, size) + head + packet.payload)
    head = head[:at] + struct.pack("!H", total or 0xFFFF) + head[at + 2 :]
    # The kernel fills in the header's own checksum.
    ip = struct.pack(
        "!BBHHHBBH", 0x45, 0, 20 + size, identity, 0x4000, min(ttl, MOST_HOPS - 1), protocol, 0
    )
    return ip + ends + head + packet.payload


def quiet(protocol: int, place: Place) -> socket.socket:
    """Hold a port so that the kernel answers nothing there; raises OSError if it is taken."""
    kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_INET, kind)
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_MINTTL, MOST_HOPS)
        if protocol == TCP:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        if protocol == TCP:
            sock.listen(1)
    except OSError:
        sock.close()
        raise
    return sock


class Arrived(NamedTuple):
    """What is to be known of a packet that came in."""

    protocol: int
    source: Place
    target: Place
    identity: int
    begins: bytes


class Wire:
    """Raw sockets: packets out, and every TCP and UDP packet of this host in."""

    def __init__(self, arrived: Callable[[Arrived], None]) -> None:
        self._arrived = arrived
        self._out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._ins = []
        for protocol in (TCP, UDP):
            sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            asyncio.get_running_loop().add_reader(sock, self._read, sock)
            self._ins.append(sock)

    def send(self, packet: bytes, target: str) -> None:
        """Send a packet with its IP header."""
        self._out.sendto(packet, (target, 0))

    def close(self) -> None:
        """Hear no more."""
        for sock in self._ins:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._out.close()

    def _read(self, sock: socket.socket) -> None:
        for packet in _waiting(sock):
            begin = (packet[0] & 15) * 4
            sport, dport = struct.unpack_from("!HH", packet, begin)
            (identity,) = struct.unpack_from("!H", packet, 4)
            source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
            begins = packet[begin + 4 : begin + (8 if packet[9] == TCP else 6)]
            self._arrived(Arrived(packet[9], (source, sport), (target, dport), identity, begins))


def _waiting(sock: socket.socket) -> Iterator[bytes]:
    for _ in range(256):
        try:
            packet = sock.recv(128)
        except BlockingIOError:
            return
        if len(packet) >= 28:
            yield packet


class End:
    """One end of a conversation, as it is played."""

    def __init__(
        self, talk: Conversation, wire: Wire, *, client: bool, own: Place, far: Place
    ) -> None:
        self._talk, self._wire, self._client = talk, wire, client
        self._own, self._far = own, far
        self._came = asyncio.Event()
        self.sent = self.received = self.missed = 0
        self.ended = False
        self._awaited = self._due_then = self._waits = 0
        self._heard_s = asyncio.get_running_loop().time()

    def heard(self) -> None:
        """One more packet of the other end has come."""
        self.received += 1
        self._heard_s, self._due_then = asyncio.get_running_loop().time(), self._awaited
        self._came.set()

    async def play(self) -> dict[str, Any]:
        """Send this end's packets, each in its time; what came of it."""
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        ttl = self._talk.ttl[0 if self._client else 1]
        for packet in self._talk.packets:
            if packet.from_client != self._client:
                self._awaited += 1
                continue
            await asyncio.sleep(begin_s + packet.at_s - loop.time())
            if not await self._there():
                break
            identity = self._talk.identity if self._client else 0
            raw = crafted(packet, self._talk.protocol, self._own, self._far,
                          ttl=ttl, identity=identity)  # fmt: skip
            self._wire.send(raw, self._far[0])
            self.sent += 1
        await self._all()
        self.ended = True
        return {"sent": self.sent, "received": self.received, "missed": self.missed}

    async def _there(self) -> bool:
        """Wait for the other end, over TCP; False if it seems to have gone."""
        if self._talk.protocol == TCP:
            self._waits = 0 if await self._all() else self._waits + 1
            return self._waits < SILENT
        quiet_s = asyncio.get_running_loop().time() - self._heard_s
        return self._awaited - self._due_then < SILENT or quiet_s < SILENT_S

    async def _all(self) -> bool:
        """Wait until all packets that are due have come; False if they do not."""
        while self.received + self.missed < self._awaited:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), LATE_S)
            except TimeoutError:
                self.missed = self._awaited - self.received
                return False
        return True
