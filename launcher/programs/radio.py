"""Internet radio and podcasts: an Icecast-like server, and players, recorders and listeners.

Stations send as fast as they play, after a burst that fills the player's buffer; those who ask for
it get the titles in between, as SHOUTcast has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_tls import client_context, server_contexts, server_name
from common_tool import home, run_tool, time_left_s

LOOP_S = 15
TYPES = {"mp3": "audio/mpeg", "aac": "audio/aac"}
BITRATES_KBIT = (32, 48, 64, 96, 128, 160, 192, 256, 320)
BLOCK = 2_048


@dataclass(frozen=True)
class Station:
    """One station: how it sounds, and how it sends."""

    name: str
    kind: str
    kbit: int
    content: bytes
    burst_bytes: int
    metaint: int
    tick_s: float


async def serve(service: Service) -> None:
    """Serve stations and podcasts."""
    from common_daemon import workspace

    folder, rng = workspace(service), service.rng
    stations = {}
    for kbit in rng.sample(BITRATES_KBIT, 5):
        kind = rng.choice(("mp3", "mp3", "aac"))
        name = f"{word(rng)}.{kind}"
        stations[name] = Station(
            name=name,
            kind=kind,
            kbit=kbit,
            content=await _make(rng, folder / name, kbit),
            burst_bytes=rng.choice((0, 16_384, 65_536, 131_072)),
            metaint=rng.choice((8_192, 16_000, 16_384)),
            tick_s=rng.choice((0.05, 0.1, 0.25, 0.5)),
        )

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(rng, stations, reader, writer)

    for port in service.ports:
        secure = port in common_net.TLS_PORTS
        tls = server_contexts(rng, service.host) if secure else ()
        await common_net.listen(service, port, handler, tls=tls)


async def _make(rng: random.Random, file: Path, kbit: int) -> bytes:
    """Some seconds of sound, by ffmpeg."""
    tones = "+".join(f"sin({rng.randint(80, 2_000)}*2*PI*t)/6" for _ in range(3))
    source = f"aevalsrc='{tones}+random({rng.randint(0, 9)})/5':d={LOOP_S}:s=44100"
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", source),
        *("-b:a", f"{kbit}k", str(file)),
    )
    if await process.wait():
        raise PeerError("ffmpeg makes no sound")
    return file.read_bytes()


async def _answer(
    rng: random.Random,
    stations: dict[str, Station],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer one request: the stations, a station, or a podcast."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    path = head.split(" ", 2)[1].strip("/")
    station = stations.get(path.removeprefix("podcast/"))
    if station is None:
        body = "".join(f"{name} {item.kbit}\n" for name, item in stations.items()).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        return
    headers = [f"Content-Type: {TYPES[station.kind]}", f"icy-br: {station.kbit}"]
    headers += [f"icy-name: {station.name}", f"icy-genre: {word(rng)}", "Cache-Control: no-cache"]
    if path.startswith("podcast/"):
        count = rng.randint(2, 12)
        headers.append(f"Content-Length: {len(station.content) * count}")
        writer.write(("\r\n".join(["HTTP/1.1 200 OK", *headers]) + "\r\n\r\n").encode())
        for _ in range(count):
            writer.write(station.content)
            await writer.drain()
        return
    titles = "icy-metadata: 1" in head.lower()
    if titles:
        headers.append(f"icy-metaint: {station.metaint}")
    writer.write(("\r\n".join(["HTTP/1.0 200 OK", *headers]) + "\r\n\r\n").encode())
    sent = 0
    try:
        async for block in _stream(rng, station, titles=titles):
            writer.write(block)
            await writer.drain()
            sent += len(block)
    finally:
        emit("listened", station=station.name, kbit=station.kbit, bytes=sent)


async def _stream(rng: random.Random, station: Station, *, titles: bool) -> AsyncIterator[bytes]:
    """A station's blocks, each when it is due."""
    rate_bytes_s = station.kbit * 125.0
    at, until_title = rng.randrange(len(station.content)), station.metaint
    due, wanted = time.monotonic(), station.burst_bytes
    while True:
        while wanted > 0:
            size = min(BLOCK, until_title if titles else BLOCK, len(station.content) - at)
            yield station.content[at : at + size]
            at = (at + size) % len(station.content)
            wanted -= size
            until_title -= size
            if titles and not until_title:
                yield _title(rng)
                until_title = station.metaint
        due += station.tick_s
        await asyncio.sleep(max(due - time.monotonic(), 0))
        wanted += int(rate_bytes_s * station.tick_s)


def _title(rng: random.Random) -> bytes:
    """What is on the air, mostly unchanged."""
    if rng.random() < 0.9:
        return b"\0"
    text = f"StreamTitle='{word(rng).title()} - {word(rng).title()}';".encode()
    return bytes([-(-len(text) // 16)]) + text.ljust(-(-len(text) // 16) * 16, b"\0")


class Listener:
    """One user with a player."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.port = common_net.port_of(session, secure=bool(self.params.get("tls")))
        self.secure = self.port in common_net.TLS_PORTS
        self.name = server_name(self.rng, session.peer["host"])
        self.agent = f"{word(self.rng)}/{self.rng.randint(1, 20)}.{self.rng.randint(0, 9)}"

    async def open(self, path: str) -> common_net.Streams:
        """Ask for something; its streams after the reply's header."""
        tls = client_context(self.rng) if self.secure else None
        reader, writer = await common_net.connect(
            self.session, self.port, tls=tls, name=self.name if tls else None
        )
        lines = [f"GET /{path} HTTP/1.1", f"Host: {self.name}", f"User-Agent: {self.agent}"]
        if self.params.get("titles", True):
            lines.append("Icy-MetaData: 1")
        writer.write(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise PeerError(f"no radio: {head[:40]!r}")
        return reader, writer

    async def stations(self) -> list[str]:
        """Names of what is on the air."""
        reader, writer = await self.open("")
        try:
            length = 0
            lines = []
            while line := await reader.readline():
                length += len(line)
                lines.append(line.decode().split(" ")[0])
            return lines
        finally:
            await common_net.disconnect(writer, self.rng)

    async def listen(self, path: str, seconds: float, *, rate_bytes_s: float = 0.0) -> None:
        """Listen for so long, or to the end; a podcast's player reads no faster than it needs."""
        reader, writer = await self.open(path)
        end, got = time.monotonic() + seconds, 0
        try:
            while (left_s := min(end - time.monotonic(), self.session.left_s() - 0.2)) > 0:
                with contextlib.suppress(TimeoutError):
                    block = await asyncio.wait_for(reader.read(16_384), left_s)
                    if not block:
                        break
                    got += len(block)
                if rate_bytes_s and got > 200_000:
                    await asyncio.sleep(min(len(block) / rate_bytes_s, left_s))
        finally:
            await common_net.disconnect(writer, self.rng)
            emit("listened", station=path, bytes=got)


async def act(session: Session) -> None:
    """Look what is on, and listen as the variant says."""
    listener = Listener(session)
    variant, rng = str(session.params["variant"]), session.rng
    names = await listener.stations()
    seconds = float(session.params.get("listen_s", 30.0))
    for action in range(int(session.params.get("actions", 1))):
        if action and not await session.pause():
            return
        name = rng.choice(names)
        if variant in ("record-curl", "play-ffmpeg"):
            await asyncio.to_thread(_tool, listener, variant, name, seconds)
        elif variant == "podcast":
            rate = heavy(rng, 40_000, 0.6, 8_000, 400_000)
            await listener.listen(f"podcast/{name}", seconds, rate_bytes_s=rate)
        else:
            await listener.listen(name, seconds)


def _tool(listener: Listener, variant: str, name: str, seconds: float) -> None:
    """Record with curl, or play with ffmpeg to nowhere."""
    session = listener.session
    limit_s = max(min(seconds, time_left_s(session) - 0.5), 0.5)
    scheme = "https" if listener.secure else "http"
    place = f"{scheme}://{session.peer['address']}:{listener.port}/{name}"
    if variant == "record-curl":
        command = ["curl", "-sSk", "--noproxy", "*", "-A", listener.agent, "-o", "/dev/null"]
        command += ["-m", f"{limit_s:.1f}", "-w", "%{size_download}", place]
    else:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-tls_verify", "0", "-i", place]
        command += ["-t", f"{limit_s:.1f}", "-f", "null", "-"]
        if not listener.secure:
            del command[4:6]
    with home() as folder:
        ran = run_tool(session, command, folder, fine=(0, 28))
    emit("listened", station=name, tool=command[0], result=ran.output[-40:])


if __name__ == "__main__":
    main(serve, act)
