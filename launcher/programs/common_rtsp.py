"""RTSP for the lab programs: messages, and transport streams cut at their own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from common import PeerError

CELL = 188
CELLS = 7  # in a packet: as many as a usual network carries
PAYLOAD_TYPE = 33  # MPEG transport stream
CLOCK_HZ = 90_000
SYNC = 0x47


@dataclass
class Message:
    """A request, a response, or a block of interleaved data (then ``channel`` is not -1)."""

    first: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    channel: int = -1

    @property
    def method(self) -> str:
        """A request's method."""
        return self.first.split(" ")[0]

    @property
    def status(self) -> int:
        """A response's code; 0 of requests."""
        parts = self.first.split(" ")
        return int(parts[1]) if parts[0].startswith("RTSP/") and len(parts) > 1 else 0

    def __bytes__(self) -> bytes:
        """As it is sent."""
        if self.channel >= 0:
            head = b"$" + bytes([self.channel]) + len(self.body).to_bytes(2, "big")
            return head + self.body
        headers = dict(self.headers)
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        lines = [self.first, *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message or block.

    Raises
    ------
    EOFError
        The connection is over.
    PeerError
        It is no RTSP.
    """
    start = await reader.readexactly(1)
    if start == b"$":
        channel, *size = await reader.readexactly(3)
        body = await reader.readexactly(int.from_bytes(bytes(size), "big"))
        return Message(body=body, channel=channel)
    first, *lines = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    if "RTSP/1.0" not in first:
        raise PeerError("no RTSP message")
    headers = {
        name.strip().title(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    return Message(first, headers, body)


def cut(stream: bytes) -> Iterator[tuple[float, bytes]]:
    """Packets of a transport stream, with the seconds after its begin when each is due."""
    begin: float | None = None
    now_s, block = 0.0, bytearray()
    for at in range(0, len(stream) - CELL + 1, CELL):
        cell = stream[at : at + CELL]
        clock_s = _clock_s(cell)
        if clock_s is not None:
            begin = clock_s if begin is None else begin
            if clock_s - begin > now_s and block:
                yield now_s, bytes(block)
                block.clear()
            now_s = max(clock_s - begin, now_s)
        block += cell
        if len(block) >= CELLS * CELL:
            yield now_s, bytes(block)
            block.clear()
    if block:
        yield now_s, bytes(block)


def _clock_s(cell: bytes) -> float | None:
    """The clock of a cell that has one."""
    if cell[0] != SYNC or not cell[3] & 0x20 or cell[4] < 7 or not cell[5] & 0x10:
        return None
    return (int.from_bytes(cell[6:10], "big") * 2 + (cell[10] >> 7)) / CLOCK_HZ
