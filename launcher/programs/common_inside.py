"""What a tunnel carries: a lab program that believes its server to be on this machine.

For each port of the inner service a listener on loopback hands its connections to the tunnel, and
the inner program is told to talk to that listener. So any client over TCP goes through any tunnel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from common import FAILURES, PeerError, Session, emit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[str, int], Awaitable[Streams]]
"""Opens a connection through the tunnel to an address and port."""

LOOPBACK = "127.0.0.1"
BLOCK = 65_536
SPARE_S = 1.0  # of the session, to take the tunnel down


async def carry(session: Session, open_connection: Open) -> None:
    """Play the inner session through the tunnel, for as long as the outer one lasts."""
    inside = _told(session)
    peers = []
    for peer in inside["peers"]:
        ports = [await _listen(open_connection, peer["address"], port) for port in peer["ports"]]
        peers.append({**peer, "address": LOOPBACK, "port": ports[0], "ports": ports})
    await play(session, peers)


async def play(session: Session, peers: list[dict[str, Any]]) -> None:
    """Run the inner program against ``peers``, which lead through the tunnel.

    Raises
    ------
    PeerError
        It failed.
    """
    inside = _told(session)
    arguments = {
        "seed": inside["seed"],
        "params": inside["params"],
        "peers": peers,
        "think_time": session.think,
        "duration_s": max(session.left_s() - SPARE_S, 0.1),
    }
    program = str(Path(__file__).with_name(f"{inside['program']}.py"))
    emit("inside", program=inside["program"])
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, "client", json.dumps(arguments), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        raise
    if code != 0:
        raise PeerError(f"what is inside ended with code {code}")


def _told(session: Session) -> dict[str, Any]:
    if session.inside is None:
        raise PeerError("a tunnel is told what to carry")
    return session.inside


async def _listen(open_connection: Open, address: str, port: int) -> int:
    """Listen on a free port for what is to go to ``address:port``; that port."""

    async def hand_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await open_connection(address, port)
        except FAILURES as error:
            emit("refused", error=type(error).__name__)
            writer.close()
            return
        await relay((reader, writer), far)

    server = await asyncio.start_server(hand_over, LOOPBACK, 0)
    return int(server.sockets[0].getsockname()[1])


async def relay(near: Streams, far: Streams) -> None:
    """Pass bytes both ways until both sides have said all, or one has gone."""

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*FAILURES):
            while data := await reader.read(BLOCK):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            else:
                writer.close()

    try:
        await asyncio.gather(one_way(near[0], far[1]), one_way(far[0], near[1]))
    finally:
        near[1].close()
        far[1].close()
