"""RTSP: cameras watched over RTP by UDP or inside the RTSP connection, by ffmpeg and a monitor.

The server sends transport streams that ffmpeg made, at their own clock, again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_log import connection_for
from common_rtp import CODECS as VOICES
from common_rtp import HEADER, SEQUENCES, TICKS, Sender, is_control
from common_rtsp import CLOCK_HZ, PAYLOAD_TYPE, Message, cut, read
from common_tool import home, run_tool, time_left_s

CAMERAS = 4
CLIP_S = 12.0
REPORT_S = 2.0
Clip = list[tuple[float, bytes]]
Send = Callable[[bytes], Awaitable[None]]


async def serve(service: Service) -> None:
    """Make the cameras' pictures, and show them."""
    from common_daemon import workspace
    from common_media import h264, make, source

    folder, rng = workspace(service), service.rng
    clips: dict[str, Clip] = {}
    for number in range(CAMERAS):
        kbit = heavy(rng, 450, 0.6, 120, 2_500)
        name = f"camera{number}"
        picture = [*source(rng, CLIP_S), *h264(kbit, key_frames=rng.choice((12, 25, 50)))]
        await make([*picture, "-f", "mpegts", f"{name}.ts"], folder)
        clips[name] = list(cut((folder / f"{name}.ts").read_bytes()))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        viewer = Viewer(service, clips, reader, writer)
        try:
            await viewer.serve()
        finally:
            viewer.stop()

    for port in service.ports:
        await common_net.listen(service, port, handler)


class Viewer:
    """The server's side of one connection."""

    def __init__(
        self,
        service: Service,
        clips: dict[str, Clip],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.service, self.clips, self.reader, self.writer = service, clips, reader, writer
        self.rng = random.Random(service.rng.getrandbits(64))
        self.number = f"{self.rng.getrandbits(48):012x}"
        self.clip: Clip = []
        self.send: Send | None = None
        self.transports: list[Any] = []
        self.playing: asyncio.Task[None] | None = None
        self.packets = 0

    async def serve(self) -> None:
        """Answer until the viewer leaves."""
        with contextlib.suppress(EOFError):
            while True:
                request = await read(self.reader)
                if request.channel < 0:
                    await self._answer(request)
                if request.method == "TEARDOWN":
                    return

    def stop(self) -> None:
        """Send no more."""
        if self.playing is not None:
            self.playing.cancel()
        for transport in self.transports:
            transport.close()
        emit("viewer", packets=self.packets)

    async def _answer(self, request: Message) -> None:
        reply = Message("RTSP/1.0 200 OK", {"CSeq": request.headers.get("Cseq", "0")})
        name = request.first.split(" ")[1].rstrip("/").split("/")
        camera = next((part for part in name if part in self.clips), "")
        if request.method == "OPTIONS":
            reply.headers["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN"
        elif request.method in ("DESCRIBE", "SETUP") and not camera:
            reply.first = "RTSP/1.0 404 Not Found"
        elif request.method == "DESCRIBE":
            reply.headers |= {
                "Content-Type": "application/sdp",
                "Content-Base": f"{request.first.split(' ')[1]}/",
            }
            reply.body = self._description()
        elif request.method == "SETUP":
            self.clip = self.clips[camera]
            reply.headers["Transport"] = await self._set_up(request.headers.get("Transport", ""))
        elif request.method == "PLAY" and self.send is not None and self.playing is None:
            reply.headers["Range"] = "npt=0.000-"
            self.playing = asyncio.create_task(self._play(self.send))
        elif request.method == "PAUSE" and self.playing is not None:
            self.playing.cancel()
            self.playing = None
        if request.method not in ("OPTIONS", "DESCRIBE"):
            reply.headers["Session"] = f"{self.number};timeout=60"
        emit("rtsp", method=request.method, camera=camera, status=reply.status)
        self.writer.write(bytes(reply))
        await self.writer.drain()

    def _description(self) -> bytes:
        lines = ["v=0", f"o=- {self.rng.getrandbits(31)} 1 IN IP4 {self.service.address}"]
        lines += ["s=camera", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"]
        lines += [f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", "a=control:track1"]
        return ("\r\n".join(lines) + "\r\n").encode()

    async def _set_up(self, wish: str) -> str:
        """Open the way that the viewer wants; how it is, for the reply."""
        if "TCP" in wish:

            async def inside(packet: bytes) -> None:
                self.writer.write(bytes(Message(body=packet, channel=0)))
                await self.writer.drain()

            self.send = inside
            return "RTP/AVP/TCP;unicast;interleaved=0-1"
        ports = wish.partition("client_port=")[2].split(";")[0]
        first = int(ports.split("-")[0])
        asked = tuple(self.writer.get_extra_info(name) for name in ("peername", "sockname"))
        viewer, began_ns = asked[0][0], time.time_ns()
        loop = asyncio.get_running_loop()
        for number in (first, first + 1):
            made, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol,
                local_addr=(self.service.address, 0),
                remote_addr=(viewer, number),
            )
            self.transports.append(made)
            here = made.get_extra_info("sockname")
            connection_for(asked, "udp", here, (viewer, number), began_ns)

        async def beside(packet: bytes) -> None:
            self.transports[0].sendto(packet)

        self.send = beside
        own = [made.get_extra_info("sockname")[1] for made in self.transports]
        return f"RTP/AVP;unicast;client_port={ports};server_port={own[0]}-{own[1]}"

    async def _play(self, send: Send) -> None:
        """Send the camera's packets when they are due, from somewhere on, again and again."""
        sequence, source = self.rng.getrandbits(16), self.rng.getrandbits(32)
        stamp_0, begin = self.rng.getrandbits(32), time.monotonic()
        report_at = begin + REPORT_S
        reports = Sender(self.rng, VOICES["pcma"])
        for turn in itertools.count():
            for at_s, block in self.clip:
                due = begin + turn * (self.clip[-1][0] + 0.04) + at_s
                if (wait_s := due - time.monotonic()) > 0.001:
                    await asyncio.sleep(wait_s)
                stamp = (stamp_0 + int((due - begin) * CLOCK_HZ)) % TICKS
                sequence = (sequence + 1) % SEQUENCES
                await send(HEADER.pack(0x80, PAYLOAD_TYPE, sequence, stamp, source) + block)
                self.packets += 1
                if due > report_at and len(self.transports) > 1:
                    report_at = due + REPORT_S * self.rng.uniform(0.7, 1.5)
                    self.transports[1].sendto(reports.report(time.time(), of=source))


class Monitor:
    """A program that watches one camera."""

    def __init__(self, session: Session, camera: str, *, inside: bool) -> None:
        self.session, self.rng, self.inside = session, session.rng, inside
        place = f"{session.peer['address']}:{session.port}"
        self.uri = f"rtsp://{place}/{camera}"
        self.agent = f"{word(self.rng)}/{self.rng.randint(1, 9)}"
        self.number, self.got, self.got_bytes = 0, 0, 0
        self.headers: dict[str, str] = {}
        self.pair: list[Any] = []

    async def watch(self, seconds: float) -> None:
        """Ask for the camera, and take what comes for so long."""
        reader, writer = await common_net.connect(self.session, self.session.port)
        try:
            await self._ask(reader, writer, "OPTIONS", self.uri)
            await self._ask(reader, writer, "DESCRIBE", self.uri, Accept="application/sdp")
            way = "RTP/AVP/TCP;unicast;interleaved=0-1" if self.inside else await self._open_pair()
            reply = await self._ask(reader, writer, "SETUP", f"{self.uri}/track1", Transport=way)
            self.headers["Session"] = reply.headers.get("Session", "").split(";")[0]
            if not self.inside:
                self._punch(reply.headers.get("Transport", ""))
            await self._ask(reader, writer, "PLAY", self.uri, Range="npt=0.000-")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._take(reader), seconds)
            await self._ask(reader, writer, "TEARDOWN", self.uri)
        finally:
            for transport in self.pair:
                transport.close()
            await common_net.disconnect(writer, self.rng)
            emit("watched", uri=self.uri, packets=self.got, bytes=self.got_bytes)

    async def _ask(
        self, reader: Any, writer: Any, method: str, uri: str, **headers: str
    ) -> Message:
        self.number += 1
        said = {"CSeq": str(self.number), "User-Agent": self.agent, **self.headers, **headers}
        writer.write(bytes(Message(f"{method} {uri} RTSP/1.0", said)))
        while (reply := await read(reader)).channel >= 0:
            self._count(reply.body)
        if reply.status != 200:
            raise PeerError(f"{method}: {reply.first}")
        return reply

    def _count(self, packet: bytes) -> None:
        if not is_control(packet):
            self.got, self.got_bytes = self.got + 1, self.got_bytes + len(packet)

    async def _open_pair(self) -> str:
        """Two ports, the first of them even, as RTP wants it."""
        monitor, loop = self, asyncio.get_running_loop()

        class Port(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
                monitor._count(data)

        while True:
            first = self.rng.randrange(20_000, 60_000, 2)
            try:
                for number in (first, first + 1):
                    made, _ = await loop.create_datagram_endpoint(
                        Port,
                        local_addr=("0.0.0.0", number),  # noqa: S104 - the host's own
                    )
                    self.pair.append(made)
            except OSError:
                continue
            return f"RTP/AVP;unicast;client_port={first}-{first + 1}"

    def _punch(self, transport: str) -> None:
        """A packet to each of the server's ports, as viewers behind a firewall send it."""
        ports = transport.partition("server_port=")[2].split(";")[0].split("-")
        for made, number in zip(self.pair, ports, strict=False):
            made.sendto(b"\x80\x00" + bytes(10), (self.session.peer["address"], int(number)))

    async def _take(self, reader: Any) -> None:
        while True:
            self._count((await read(reader)).body)


async def act(session: Session) -> None:
    """Watch cameras, one after the other or several at once."""
    variant, rng = str(session.params["variant"]), session.rng
    for action in range(int(session.params.get("actions", 1))):
        if action and not await session.pause():
            return
        limit_s = min(float(session.params.get("watch_s", 30.0)), time_left_s(session) - 1.0)
        seconds = max(limit_s, 1.0)
        cameras = rng.sample([f"camera{n}" for n in range(CAMERAS)], CAMERAS)
        if variant.startswith("ffmpeg"):
            await asyncio.to_thread(_ffmpeg, session, cameras[0], seconds)
            continue
        wall = cameras[: rng.randint(2, CAMERAS)] if variant == "wall" else cameras[:1]
        inside = variant == "monitor-tcp"
        await asyncio.gather(*(Monitor(session, one, inside=inside).watch(seconds) for one in wall))


def _ffmpeg(session: Session, camera: str, seconds: float) -> None:
    transport = "tcp" if session.params["variant"] == "ffmpeg-tcp" else "udp"
    place = f"rtsp://{session.peer['address']}:{session.port}/{camera}"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-rtsp_transport", transport, "-i", place]
    command += ["-t", f"{seconds:.1f}", "-c", "copy", "-f", "null", "-"]
    with home() as folder:
        ran = run_tool(session, command, folder, limit_s=seconds + 4.0)
    emit("watched", uri=place, tool="ffmpeg", late=ran.late)


if __name__ == "__main__":
    main(serve, act)
