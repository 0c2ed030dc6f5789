"""WebSocket: chats, tickers, remote calls, shared editing and uploads, plain and over TLS.

A client's first message says what it wants: ``{"mode": ..., ...}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from typing import Any

import common_net
import websockets
from common import PeerError, Service, Session, emit, heavy, main, word
from common_site import prose
from common_tls import client_context, server_contexts, server_name


class Room:
    """Who is in the chat, or edits the same text."""

    def __init__(self) -> None:
        self.members: set[Any] = set()

    async def say(self, message: str, speaker: Any) -> None:
        """To everybody else."""
        for member in list(self.members - {speaker}):
            with contextlib.suppress(websockets.ConnectionClosed):  # who has left hears nothing
                await member.send(message)


async def serve(service: Service) -> None:
    """Serve WebSockets: over TLS on the TLS ports, plain on the others."""
    rng, rooms = service.rng, {"chat": Room(), "edit": Room()}

    async def handler(link: Any) -> None:
        mode, count = "", 0
        try:
            wish = json.loads(await link.recv())
            mode = str(wish["mode"])
            task = None
            if mode in rooms:
                rooms[mode].members.add(link)
            if mode in ("ticker", "chat", "edit"):
                task = asyncio.create_task(_push(link, rng, wish))
            try:
                async for message in link:
                    count += 1
                    await _answer(link, rng, mode, message, rooms)
            finally:
                if task is not None:
                    task.cancel()
                if mode in rooms:
                    rooms[mode].members.discard(link)
        except (websockets.ConnectionClosed, ValueError, KeyError):
            pass  # how clients leave, and what strangers say
        finally:
            emit("session", mode=mode, messages=count)

    tls = server_contexts(rng, service.host)
    compression = rng.choice(("deflate", "deflate", None))
    for port in service.ports:
        for context in tls if port in common_net.TLS_PORTS else (None,):
            await websockets.serve(
                handler,
                service.address,
                port,
                ssl=context,
                reuse_port=True,
                compression=compression,
                max_size=8 << 20,
                ping_interval=rng.choice((2, 5, 20, 30)),
            )


async def _push(link: Any, rng: random.Random, wish: dict[str, Any]) -> None:
    """What the server says unasked: prices at a rate, or what others write."""
    mode, rate_hz = str(wish["mode"]), min(max(float(wish.get("rate_hz", 1.0)), 0.05), 50.0)
    names = [word(rng, 3, 6).upper() for _ in range(min(int(wish.get("topics", 3)), 40))]
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await asyncio.sleep(rng.expovariate(rate_hz))
            if mode == "ticker":
                burst = heavy(rng, 1.3, 0.8, 1, len(names))
                prices = {name: round(rng.lognormvariate(4, 1), 2) for name in names[:burst]}
                await link.send(json.dumps({"prices": prices}))
            elif mode == "chat":
                await link.send(json.dumps({"from": word(rng), "text": _line(rng)}))
            else:
                at = rng.randint(0, 9_999)
                await link.send(json.dumps({"insert": rng.choice("abcdefgh "), "at": at}))


async def _answer(
    link: Any, rng: random.Random, mode: str, message: str | bytes, rooms: dict[str, Room]
) -> None:
    if mode in rooms:
        await rooms[mode].say(message if isinstance(message, str) else "", link)
    elif mode == "calls":
        asked = json.loads(message)
        await asyncio.sleep(min(rng.lognormvariate(-4.5, 1.0), 0.6))
        size = min(int(asked.get("bytes", 100)), 200_000)
        await link.send(json.dumps({"id": asked["id"], "result": prose(rng, size)}))
    elif mode == "upload":
        await link.send(json.dumps({"got": len(message)}))


def _line(rng: random.Random) -> str:
    return prose(rng, heavy(rng, 45, 0.9, 2, 900))


class User:
    """One user's side of the connection."""

    def __init__(self, session: Session, link: Any) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.link = link
        self.mode = str(session.params["variant"])
        self.got = 0

    async def begin(self) -> None:
        """Say what is wanted."""
        wish = {
            "mode": self.mode,
            "rate_hz": self.params.get("rate_hz", 1.0),
            "topics": self.params.get("topics", 5),
            "user": word(self.rng),
            "token": self.rng.randbytes(self.rng.choice((8, 24, 64))).hex(),
        }
        await self.link.send(json.dumps(wish))

    async def listen(self) -> None:
        """Take what the server says."""
        async for message in self.link:
            self.got += 1
            emit("message", bytes=len(message))

    async def speak(self) -> None:
        """Do what the mode wants, action by action."""
        for action in range(int(self.params.get("actions", 10))):
            if action and not await self.session.pause(0.2 if self.mode == "edit" else 1.0):
                return
            if self.mode == "chat":
                await self.link.send(json.dumps({"text": _line(self.rng)}))
            elif self.mode == "edit":
                await self.type()
            elif self.mode == "calls":
                size = heavy(self.rng, 900, 1.3, 20, 150_000)
                await self.link.send(json.dumps({"id": action, "bytes": size}))
            elif self.mode == "upload":
                size = heavy(self.rng, 30_000, 1.0, 500, 600_000)
                await self.link.send(self.rng.randbytes(size))
            # A ticker's user only looks, and now and then changes what is shown.
            elif self.rng.random() < 0.2:
                await self.link.send(json.dumps({"subscribe": word(self.rng).upper()}))

    async def type(self) -> None:
        """A run of keystrokes."""
        for _ in range(heavy(self.rng, 8, 0.8, 1, 60)):
            key = {"insert": self.rng.choice("etaoin shrdlu"), "at": self.rng.randint(0, 9_999)}
            await self.link.send(json.dumps(key))
            if not await self.session.sleep(min(self.rng.lognormvariate(-2, 0.5), 1.0)):
                return


async def act(session: Session) -> None:
    """Connect, take part, and leave."""
    port = common_net.port_of(session, secure=bool(session.params.get("tls", True)))
    secure = port in common_net.TLS_PORTS
    name = server_name(session.rng, session.peer["host"])
    sock = common_net.dial(session, port)
    sock.setblocking(False)
    tls: dict[str, Any] = {}
    if secure:
        tls = {"ssl": client_context(session.rng), "server_hostname": name}
    try:
        async with websockets.connect(
            f"ws{'s' if secure else ''}://{name}:{port}/{word(session.rng)}",
            sock=sock,
            compression=session.rng.choice(("deflate", "deflate", None)),
            max_size=8 << 20,
            close_timeout=0.5,
            **tls,
        ) as link:
            await _take_part(User(session, link))
    except (websockets.InvalidHandshake, websockets.ConnectionClosed, socket.gaierror) as error:
        raise PeerError(repr(error)) from error


async def _take_part(user: User) -> None:
    await user.begin()
    listener = asyncio.create_task(user.listen())
    try:
        await user.speak()
        # What was asked last is still answered.
        await user.session.sleep(min(user.rng.expovariate(2), 1.0))
    finally:
        listener.cancel()
        emit("left", messages=user.got)


if __name__ == "__main__":
    main(serve, act)
