"""HTTP for the lab programs: one server for HTTP/1.1 and HTTP/2, an HTTP/1.1 client.

The HTTP/1.1 server is our own because ALPN must be able to choose HTTP/2 on the same port, which
the standard library's server cannot; synchronous clients use the standard library's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import common_net
from common import PeerError, Service, Session, emit, noise
from common_headers import Headers
from common_tls import client_context, server_contexts, server_name

IDLE_S = 60.0
MAX_BODY_BYTES = 32 << 20
BLOCK = 16_384


@dataclass
class Request:
    """What a client asked for; its body is only counted."""

    method: str
    path: str
    body_bytes: int = 0


@dataclass
class Reply:
    """What a server answers: ``size`` bytes of noise, or ``body``."""

    status: int = 200
    size: int = 0
    body: bytes | None = None
    headers: Headers = field(default_factory=list)
    delay_s: float = 0.0
    rate_bytes_s: float = 0.0  # 0: as fast as it goes
    chunked: bool = False

    @property
    def length(self) -> int:
        """Size of the body in bytes."""
        return self.size if self.body is None else len(self.body)


class Fetched(NamedTuple):
    """What a client got: status, first block of the body, size of the body in bytes."""

    status: int
    start: bytes
    size: int


Answer = Callable[[Request], Reply]


async def serve_http(service: Service, answer: Answer) -> None:
    """Serve HTTP/1.1 and HTTP/2 over TLS on every port of the service."""
    contexts = server_contexts(service.rng, service.host, ["h2", "http/1.1"])

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure = writer.get_extra_info("ssl_object")
        if secure.selected_alpn_protocol() == "h2":
            from common_h2 import serve_h2

            await serve_h2(reader, writer, answer)
        else:
            await _serve_h1(reader, writer, answer)

    for port in service.ports:
        await common_net.listen(service, port, handler, tls=contexts)


async def _serve_h1(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
) -> None:
    while True:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE_S)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return
        request, keep = await _read_request(reader, head)
        reply = answer(request)
        await asyncio.sleep(reply.delay_s)
        lines = [f"HTTP/1.1 {reply.status} {'OK' if reply.status < 300 else 'No'}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        lines.append(
            "Transfer-Encoding: chunked" if reply.chunked else f"Content-Length: {reply.length}"
        )
        lines.append("Connection: keep-alive" if keep else "Connection: close")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await _send_body(writer, reply)
        log_reply(request, reply, "1.1")
        if not keep:
            return


async def _read_request(reader: asyncio.StreamReader, head: bytes) -> tuple[Request, bool]:
    first, *rest = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise PeerError("no HTTP/1 request line")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in rest if line)
    }
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY_BYTES:
        raise PeerError("a body too long")
    left = length
    while left:
        block = await reader.read(min(left, 65_536))
        if not block:
            raise EOFError("the body ended early")
        left -= len(block)
    keep = headers.get("connection", "").lower() != "close"
    return Request(parts[0], parts[1], length), keep


async def _send_body(writer: asyncio.StreamWriter, reply: Reply) -> None:
    blocks = iter([reply.body]) if reply.body is not None else noise(reply.size, BLOCK)
    owed_s = 0.0
    for block in blocks:
        writer.write(b"%x\r\n%b\r\n" % (len(block), block) if reply.chunked else block)
        await writer.drain()
        if reply.rate_bytes_s:
            owed_s += len(block) / reply.rate_bytes_s
            if owed_s > 0.004:
                await asyncio.sleep(owed_s)
                owed_s = 0.0
    if reply.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


def log_reply(request: Request, reply: Reply, version: str) -> None:
    """The server's application log: one line per request."""
    emit(
        "request",
        method=request.method,
        path=request.path[:80],
        status=reply.status,
        body_bytes=request.body_bytes,
        reply_bytes=reply.length,
        version=version,
    )


class H1Client:
    """One HTTP/1.1 connection over TLS; it opens by itself and again when it was closed."""

    def __init__(self, session: Session, headers: Headers, name: str | None = None) -> None:
        self.session, self.headers = session, headers
        self.name = name or server_name(session.rng, session.peer["host"])
        self._tls = client_context(session.rng, session.rng.choice((None, ["http/1.1"])))
        self._streams: common_net.Streams | None = None

    async def open(self) -> common_net.Streams:
        """Connect unless connected."""
        if self._streams is None:
            self._streams = await common_net.connect(
                self.session, self.session.port, tls=self._tls, name=self.name
            )
        return self._streams

    async def fetch(
        self, path: str, *, method: str = "GET", body_bytes: int = 0, last: bool = False
    ) -> Fetched:
        """Ask for something and take the reply."""
        reader, writer = await self.open()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.name}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if method in ("POST", "PUT"):
            lines.append(f"Content-Length: {body_bytes}")
        if last:
            lines.append("Connection: close")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        for block in noise(body_bytes, BLOCK):
            writer.write(block)
            await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }
        if "transfer-encoding" in fields:
            start, size = await self._chunked(reader)
        else:
            start, size = await self._plain(reader, int(fields.get("content-length", "0")))
        if fields.get("connection") == "close":
            await self.close()
        return Fetched(status, start, size)

    async def _plain(self, reader: asyncio.StreamReader, size: int) -> tuple[bytes, int]:
        start, left = b"", size
        while left:
            block = await reader.read(min(left, 65_536))
            if not block:
                raise EOFError("the reply ended early")
            left -= len(block)
            start = start if len(start) >= BLOCK else start + block
        return start, size

    async def _chunked(self, reader: asyncio.StreamReader) -> tuple[bytes, int]:
        start, size = b"", 0
        while True:
            length = int(await reader.readline(), 16)
            block = await reader.readexactly(length + 2)
            if not length:
                return start, size
            size += length
            start = start or block[:-2]

    async def close(self) -> None:
        """Disconnect if connected."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            await common_net.disconnect(writer, self.session.rng)
