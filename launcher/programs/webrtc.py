"""WebRTC: calls with sound and pictures, and data channels, between aiortc on both sides.

The server offers, so that the user's side opens the way: the user asks for a call by HTTP, gets the
offer, and brings the answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_log import connection as tell_connection
from common_net import TLS_PORTS, port_of
from common_rtc import connection, furnish, paths, take
from common_tls import client_context, server_contexts

GATHER_S = 5.0
KNOCK_S = 0.1


async def serve(service: Service) -> None:
    """Take part in calls: signalling over HTTPS on the TLS ports, over HTTP on the others."""
    import aiortc  # noqa: F401 - takes a second, which no caller should wait for
    from aiohttp import web

    calls: dict[str, Call] = {}

    async def begin(request: web.Request) -> web.StreamResponse:
        call = Call(random.Random(service.rng.getrandbits(64)), await request.json())
        number = f"{call.rng.getrandbits(64):x}"
        calls[number] = call
        return web.json_response({"call": number, "sdp": await call.offer()})

    async def answer(request: web.Request) -> web.StreamResponse:
        await calls[request.match_info["call"]].accept((await request.json())["sdp"])
        return web.Response(status=204)

    async def end(request: web.Request) -> web.StreamResponse:
        call = calls.pop(request.match_info["call"], None)
        if call is not None:
            await call.close()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/calls", begin)
    app.router.add_put("/calls/{call}", answer)
    app.router.add_delete("/calls/{call}", end)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    tls = server_contexts(service.rng, service.host, ["http/1.1"])
    for port in service.ports:
        for context in tls if port in TLS_PORTS else (None,):
            await web.TCPSite(
                runner, service.address, port, ssl_context=context, reuse_port=True
            ).start()


class Call:
    """The server's side of one call."""

    def __init__(self, rng: random.Random, wish: dict[str, Any]) -> None:
        self.rng, self.wish, self.link = rng, wish, connection()
        self.tasks: list[asyncio.Task[None]] = []
        self.got = 0

    async def offer(self) -> str:
        """What the server offers, as SDP."""
        from aiortc import RTCSessionDescription

        furnish(self.link, self.rng, self.wish)
        if "data" in self.wish["media"]:
            self._open_channel()
        self.link.on("track", lambda track: self.tasks.append(take(track)))
        made = await self.link.createOffer()
        await self.link.setLocalDescription(RTCSessionDescription(made.sdp, made.type))
        return str(self.link.localDescription.sdp)

    def _open_channel(self) -> None:
        channel = self.link.createDataChannel(word(self.rng), ordered=self.rng.random() < 0.7)

        @channel.on("message")  # type: ignore[untyped-decorator]
        def heard(message: str | bytes) -> None:
            self.got += 1
            share = self.rng.random()
            if share < 0.6:
                size = heavy(self.rng, max(len(message) * share, 20), 0.8, 10, 60_000)
                channel.send(self.rng.randbytes(size))

    async def accept(self, sdp: str) -> None:
        """Take the user's answer; the connection then comes about by itself."""
        from aiortc import RTCSessionDescription

        await self.link.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def close(self) -> None:
        """Hang up."""
        for task in self.tasks:
            task.cancel()
        await self.link.close()
        emit("call", media=self.wish["media"], messages=self.got)


class User:
    """The caller's side of one call."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.link = connection()
        self.ready = asyncio.Event()
        self.channel: Any = None
        self.tasks: list[asyncio.Task[None]] = []
        self.got_bytes = 0

    def listen(self) -> None:
        """Take what the other side sends."""
        self.link.on("track", lambda track: self.tasks.append(take(track)))

        @self.link.on("datachannel")  # type: ignore[untyped-decorator]
        def opened(channel: Any) -> None:
            self.channel = channel
            channel.on("message", self._heard)

        @self.link.on("connectionstatechange")  # type: ignore[untyped-decorator]
        def changed() -> None:
            if self.link.connectionState == "connected":
                self.ready.set()

    def _heard(self, message: str | bytes) -> None:
        self.got_bytes += len(message)

    async def answer(self, sdp: str) -> str:
        """Take the offer; the answer to it."""
        from aiortc import RTCSessionDescription

        self.listen()
        await self.link.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        furnish(self.link, self.rng, self.params)
        made = await self.link.createAnswer()
        began_ns = time.time_ns()
        await self.link.setLocalDescription(RTCSessionDescription(made.sdp, made.type))
        answer = str(self.link.localDescription.sdp)
        for own, far in paths(answer, sdp):
            tell_connection("udp", own, far, began_ns)
        return answer

    async def begun(self) -> None:
        """Return when this side has knocked: who does so first has opened the flow."""
        while self.link.iceConnectionState == "new":
            await asyncio.sleep(KNOCK_S / 10)
        await asyncio.sleep(KNOCK_S)

    async def talk(self, seconds: float) -> None:
        """Stay in the call, and say what there is to say."""
        limit_s = max(min(GATHER_S, self.session.left_s() - 0.5), 0.5)
        try:
            await asyncio.wait_for(self.ready.wait(), limit_s)
        except TimeoutError as error:
            raise PeerError("no connection came about") from error
        end = time.monotonic() + min(seconds, self.session.left_s() - 1.0)
        sent_bytes = 0
        while (left_s := end - time.monotonic()) > 0:
            if "data" in self.params["media"]:
                sent_bytes += self._say()
                await asyncio.sleep(min(self.rng.expovariate(float(self.params["say_hz"])), left_s))
            else:
                await asyncio.sleep(left_s)
        emit("call", media=self.params["media"], sent_bytes=sent_bytes, got_bytes=self.got_bytes)

    def _say(self) -> int:
        if self.channel is None or self.channel.readyState != "open":
            return 0
        size = heavy(self.rng, float(self.params["say_bytes"]), 1.0, 5, 60_000)
        self.channel.send(self.rng.randbytes(size))
        return size

    async def close(self) -> None:
        """Hang up."""
        for task in self.tasks:
            task.cancel()
        await self.link.close()


class Signals:
    """The connection by which calls are asked for and ended."""

    def __init__(self, session: Session) -> None:
        port = port_of(session, secure=bool(session.params.get("tls", True)))
        address = session.peer["address"]
        self.link = HTTPConnection(address, port, timeout=10)
        if port in TLS_PORTS:
            context = client_context(session.rng)
            self.link = HTTPSConnection(address, port, timeout=10, context=context)

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Send a request; the reply's body."""
        return await asyncio.to_thread(self._ask, method, path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        begun()
        try:
            self.link.request(method, path, json.dumps(body) if body is not None else None)
            with self.link.getresponse() as reply:
                return reply.read()
        except HTTPException as error:
            raise PeerError(repr(error)) from error


async def act(session: Session) -> None:
    """Call, again and again."""
    signals = Signals(session)
    try:
        for action in range(int(session.params.get("actions", 1))):
            if (action and not await session.pause()) or session.left_s() < 2.0:
                return
            await _call(session, signals)
    finally:
        signals.link.close()


async def _call(session: Session, signals: Signals) -> None:
    user = User(session)
    wish = {name: session.params[name] for name in ("media", "width", "height", "rate")}
    offered = json.loads(await signals.ask("POST", "/calls", wish))
    try:
        answer = await user.answer(offered["sdp"])
        await user.begun()
        await signals.ask("PUT", f"/calls/{offered['call']}", {"sdp": answer})
        await user.talk(float(session.params.get("talk_s", 20.0)))
    finally:
        await user.close()
        await signals.ask("DELETE", f"/calls/{offered['call']}")


if __name__ == "__main__":
    # Programs are named after protocols, as libraries are; aiortc means the library ``dns``.
    sys.path.append(sys.path.pop(0))
    main(serve, act)
