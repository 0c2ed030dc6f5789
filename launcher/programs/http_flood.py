"""A flood of HTTP requests, bounded: by ApacheBench, and by workers of our own."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import common_net
from common import Session, emit, main, word
from common_shop import headers
from common_tool import home, run_tool

MAX_RATE_S, MAX_REQUESTS = 300.0, 3_000


class Flood:
    """What was sent and answered."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng = session, session.rng
        self.rate_s = min(float(session.params["rate_s"]), MAX_RATE_S)
        self.count = min(int(session.params["requests"]), MAX_REQUESTS)
        self.workers = int(session.params["parallel"])
        self.sent = self.answered = 0

    async def run(self) -> None:
        """All workers, until the requests are sent or time is over."""
        await asyncio.gather(*(self._work() for _ in range(self.workers)))

    async def _work(self) -> None:
        while self.sent < self.count:
            reader, writer = await common_net.connect(self.session, self.session.port)
            try:
                for _ in range(int(self.session.params["per_connection"])):
                    wait_s = self.rng.expovariate(self.rate_s / self.workers)
                    if not await self.session.sleep(wait_s) or self.sent >= self.count:
                        return
                    self.sent += 1
                    writer.write(self._request())
                    await self._answer(reader)
            finally:
                await common_net.disconnect(writer, self.rng)

    def _request(self) -> bytes:
        post = self.session.params["variant"] == "post"
        path = "/" if self.rng.random() < 0.2 else f"/product/{word(self.rng)}?{word(self.rng)}"
        body = word(self.rng, 20, 400) if post else ""
        lines = [
            f"{'POST' if post else 'GET'} {path} HTTP/1.1",
            f"Host: {self.session.peer['host']}",
        ]
        lines += [f"{name}: {value}" for name, value in headers(self.rng).items()]
        if post:
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()

    async def _answer(self, reader: Any) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        self.answered += 1


async def _ours(session: Session) -> None:
    flood = Flood(session)
    try:
        await flood.run()
    finally:
        success = flood.answered > 0.5 * flood.count
        emit("effect", success=success, sent=flood.sent, answered=flood.answered)


def _by_ab(session: Session) -> None:
    answered = 0
    count = min(int(session.params["requests"]), MAX_REQUESTS)
    url = f"http://{session.peer['address']}:{session.port}/product/{word(session.rng)}"
    try:
        with home() as folder:
            command = ["ab", "-q", "-n", str(count), "-c", str(session.params["parallel"])]
            command += ["-s", "10", *(["-k"] if session.params["per_connection"] > 1 else []), url]
            said = run_tool(session, command, folder, fine=None).output
        done = re.search(r"Complete requests:\s+(\d+)", said)
        answered = int(done[1]) if done else 0
    finally:
        emit("effect", success=answered > 0.5 * count, sent=count, answered=answered)


async def act(session: Session) -> None:
    """Flood; the effect is that the server answered most of it."""
    if session.params["variant"] == "ab":
        _by_ab(session)
    else:
        await _ours(session)


if __name__ == "__main__":
    main(None, act)
