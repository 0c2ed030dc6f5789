"""DNS over TLS: stub resolvers with one connection for each question or for many, and kdig."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable
from pathlib import Path

import common_net
from common import PeerError, Service, Session, emit, heavy, main
from common_pem import server_name, write_authority
from common_tool import home, run_tool
from common_unbound import query, serve_unbound, wanted

WAIT_S = 6.0


async def serve(service: Service) -> None:
    """Run the resolver."""
    await serve_unbound(service, https=False)


def act(session: Session) -> Awaitable[None] | None:
    """Resolve as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    if session.params.get("variant") == "tool":
        with home() as folder:
            _kdig(session, folder)
        return None
    return _resolve(session)


async def _resolve(session: Session) -> None:
    """One connection for each question, for all, or for many at once."""
    variant, rng = str(session.params.get("variant", "kept")), session.rng
    with home() as folder:
        context = ssl.create_default_context(cafile=str(write_authority(folder)))
        context.check_hostname = rng.random() < 0.5
        streams = None
        try:
            async for _ in session.paced_actions():
                if streams is None:
                    name = server_name(session.peer["host"])
                    streams = await common_net.connect(
                        session, session.port, tls=context, name=name
                    )
                count = heavy(rng, 5, 0.7, 2, 30) if variant == "pipelined" else rng.choice((1, 2))
                await _ask(session, streams, count)
                if variant == "single":
                    await common_net.disconnect(streams[1], rng)
                    streams = None
        finally:
            if streams is not None:
                await common_net.disconnect(streams[1], rng)


async def _ask(session: Session, streams: common_net.Streams, count: int) -> None:
    """Questions in one go; the answers come in any order."""
    reader, writer = streams
    padded = bool(session.params.get("padded"))
    questions = [query(session.rng, session.peer["host"], padded=padded) for _ in range(count)]
    writer.write(b"".join(struct.pack("!H", len(question)) + question for question in questions))
    waiting = {question[:2] for question in questions}
    size = 0
    try:
        async with asyncio.timeout(WAIT_S):
            for _ in questions:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                answer = await reader.readexactly(length)
                if answer[:2] not in waiting:
                    raise PeerError("an answer to no question")
                size += length
    except TimeoutError as error:
        raise PeerError("no answer") from error
    emit("answers", count=count, bytes=size)


def _kdig(session: Session, folder: Path) -> None:
    """knot's command-line resolver."""
    rng = session.rng
    trust = write_authority(folder)
    for _ in session.actions():
        words = [f"@{session.peer['address']}", "-p", str(session.port)]
        words += [f"+tls-ca={trust}", f"+tls-hostname={server_name(session.peer['host'])}"]
        words += ["+padding"] if session.params.get("padded") else ["+nopadding"]
        words += ["+keepopen"] if rng.random() < 0.5 else []
        for _ in range(rng.choice((1, 1, 2, 4))):
            words += list(wanted(rng, session.peer["host"]))
        run_tool(session, ["kdig", *words], folder)


if __name__ == "__main__":
    main(serve, act)
