"""The client's side of the remote framebuffer protocol (RFC 6143), and of its TLS (VeNCrypt)."""

from __future__ import annotations

import asyncio
import random
import ssl
import struct
from typing import Any

from common import PeerError
from common_net import Streams

NONE, VENCRYPT, X509_NONE = 1, 19, 260
RAW, COPY, HEXTILE, ZRLE, CURSOR, SIZE = 0, 1, 5, 16, -239, -223
WAIT_S = 8.0
# Bits per pixel, depth, big endian, true colour, and each colour's greatest value and place.
FORMATS = {
    32: struct.pack("!4B3H3B3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0),
    16: struct.pack("!4B3H3B3x", 16, 16, 0, 1, 31, 63, 31, 11, 5, 0),
    8: struct.pack("!4B3H3B3x", 8, 8, 0, 1, 7, 7, 3, 0, 3, 6),
}


class Viewer:
    """One connection: what is sent, and what the server shows."""

    def __init__(self, streams: Streams, rng: random.Random, bits: int) -> None:
        self.reader, self.writer = streams
        self.rng, self.bits = rng, bits
        self.width = self.height = 0
        self.updates = self.rectangles = self.pixels = 0

    async def begin(self, tls: ssl.SSLContext | None, name: str, encodings: list[int]) -> None:
        """Shake hands, with TLS if a context is given, and say how pixels are wanted."""
        async with asyncio.timeout(WAIT_S):
            version = await self.reader.readexactly(12)
            if not version.startswith(b"RFB 003."):
                raise PeerError("no RFB server")
            self.writer.write(b"RFB 003.008\n")
            offered = await self.reader.readexactly((await self.reader.readexactly(1))[0])
            wanted = NONE if tls is None else VENCRYPT
            if wanted not in offered:
                raise PeerError(f"the server offers no security type {wanted}")
            self.writer.write(bytes((wanted,)))
            if tls is not None:
                await self._encrypt(tls, name)
            (result,) = await self._unpack("!I")
            if result:
                raise PeerError("the server does not let us in")
            self.writer.write(bytes((self.rng.randrange(2) or 1,)))  # others may stay
            self.width, self.height, _, length = await self._unpack("!2H16sI")
            await self.reader.readexactly(length)
        wishes = [*encodings, COPY, RAW, SIZE]
        self.writer.write(struct.pack("!B3x", 0) + FORMATS[self.bits])
        self.writer.write(struct.pack(f"!BxH{len(wishes)}i", 2, len(wishes), *wishes))

    async def _encrypt(self, tls: ssl.SSLContext, name: str) -> None:
        """VeNCrypt 0.2 with certificates, and no further login."""
        await self.reader.readexactly(2)
        self.writer.write(bytes((0, 2)))
        status, count = await self._unpack("!BB")
        kinds = await self._unpack(f"!{count}I")
        if status or X509_NONE not in kinds:
            raise PeerError("the server offers no TLS with certificates")
        self.writer.write(struct.pack("!I", X509_NONE))
        await self.reader.readexactly(1)
        await self.writer.start_tls(tls, server_hostname=name)

    async def _unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, await self.reader.readexactly(struct.calcsize(form)))

    def request(self, *, incremental: bool = True) -> None:
        """Ask for what has changed, or for everything."""
        self.writer.write(struct.pack("!BB4H", 3, incremental, 0, 0, self.width, self.height))

    def key(self, symbol: int) -> None:
        """Press and release a key."""
        for down in (1, 0):
            self.writer.write(struct.pack("!BB2xI", 4, down, symbol))

    def pointer(self, x: int, y: int, *, buttons: int = 0) -> None:
        """Move the pointer, with these buttons down."""
        place = min(max(x, 0), self.width - 1), min(max(y, 0), self.height - 1)
        self.writer.write(struct.pack("!BB2H", 5, buttons, *place))

    async def message(self) -> bool:
        """Take one message of the server's; whether it was an update of the screen."""
        (kind,) = await self.reader.readexactly(1)
        if kind == 0:
            (count,) = await self._unpack("!xH")
            for _ in range(count):
                await self._rectangle()
            self.updates += 1
            return True
        if kind == 1:
            (colours,) = await self._unpack("!x2xH")
            await self.reader.readexactly(colours * 6)
        elif kind == 3:
            (length,) = await self._unpack("!3xI")
            await self.reader.readexactly(length)
        elif kind != 2:
            raise PeerError(f"no message {kind} is known")
        return False

    async def _rectangle(self) -> None:
        _, _, width, height, encoding = await self._unpack("!4Hi")
        self.rectangles += 1
        self.pixels += width * height
        if encoding == RAW:
            await self.reader.readexactly(width * height * self.bits // 8)
        elif encoding == COPY:
            await self.reader.readexactly(4)
        elif encoding == ZRLE:
            (length,) = await self._unpack("!I")
            await self.reader.readexactly(length)
        elif encoding == HEXTILE:
            for y in range(0, height, 16):
                for x in range(0, width, 16):
                    await self._tile(min(16, width - x), min(16, height - y))
        elif encoding == CURSOR:
            row = (width + 7) // 8
            await self.reader.readexactly(width * height * self.bits // 8 + row * height)
        elif encoding == SIZE:
            self.width, self.height = width, height
        else:
            raise PeerError(f"encoding {encoding} was not asked for")

    async def _tile(self, width: int, height: int) -> None:
        """A tile of hextile: raw, or a background and rectangles on it."""
        pixel = self.bits // 8
        (flags,) = await self.reader.readexactly(1)
        if flags & 1:
            await self.reader.readexactly(width * height * pixel)
            return
        await self.reader.readexactly(pixel * (bool(flags & 2) + bool(flags & 4)))
        if flags & 8:
            (count,) = await self.reader.readexactly(1)
            await self.reader.readexactly(count * (2 + (pixel if flags & 16 else 0)))
