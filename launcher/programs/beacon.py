"""Command and control: a program that asks its server, again and again, what to do next.

It asks by HTTP, by HTTPS or by DNS, at an interval with jitter. What it is told to do it does not:
it sends back made-up bytes, as large as a result might be.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import common_net
from common import PeerError, Session, emit, heavy, main, word
from common_drop import HEAD, to_name
from common_shop import headers
from common_tls import client_context, server_name

ANSWER_S = 2.0
MIN_INTERVAL_S = 0.2


class Beacon:
    """One program: its server, its rhythm and what it was told."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.secure = self.params["variant"] == "https"
        self.port = session.peer["ports"][2 if self.secure else 1]
        self.name = server_name(self.rng, session.peer["host"])
        self.path = f"/{word(self.rng)}/{word(self.rng, 2, 6)}"
        self.asked = self.answered = self.tasks = self.accepted = 0

    def wait_s(self) -> float:
        """To the next report: the interval, more or less."""
        interval_s, jitter = float(self.params["interval_s"]), float(self.params["jitter"])
        return max(interval_s * self.rng.uniform(1 - jitter, 1 + jitter), MIN_INTERVAL_S)

    async def report(self) -> None:
        """Ask once; do as if one did what one is told."""
        self.asked += 1
        if self.params["variant"] == "dns":
            await self._by_dns()
            return
        told = await self._request("GET", b"")
        self.answered += bool(told)
        if told.startswith("task"):
            self.tasks += 1
            result = self.rng.randbytes(heavy(self.rng, 900, 1.2, 20, 200_000))
            self.accepted += await self._request("POST", result) == "ok"
        emit("report", told=told[:4], bytes=len(told))

    async def _request(self, method: str, body: bytes) -> str:
        context = client_context(self.rng) if self.secure else None
        reader, writer = await common_net.connect(
            self.session, self.port, tls=context, name=self.name if context else None
        )
        try:
            lines = [f"{method} {self.path} HTTP/1.1", f"Host: {self.name}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in headers(self.rng).items()]
            lines.append(f"Content-Length: {len(body)}")
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            answer = await asyncio.wait_for(reader.read(-1), ANSWER_S * 3)
            return answer.partition(b"\r\n\r\n")[2].decode(errors="replace")
        finally:
            await common_net.disconnect(writer, self.rng)

    async def _by_dns(self) -> None:
        """A piece of a parcel that never ends: the server notes each."""
        import dnslib

        message = HEAD.pack(self.rng.getrandbits(32), self.asked) + self.rng.randbytes(8)
        query = dnslib.DNSRecord.question(to_name(message), self.rng.choice(("TXT", "A")))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(
                sock, (self.session.peer["address"], self.session.peer["ports"][0])
            )
            await loop.sock_sendall(sock, query.pack())
            with contextlib.suppress(TimeoutError):
                answer = await asyncio.wait_for(loop.sock_recv(sock, 65_536), ANSWER_S)
                self.answered += 1
                emit("report", told="dns", bytes=len(answer))


async def act(session: Session) -> None:
    """Report until time is over; the effect is that the server was reached and answered."""
    beacon = Beacon(session)
    try:
        for _ in range(int(session.params["reports"])):
            await beacon.report()
            if not await session.sleep(beacon.wait_s()):
                return
        if not beacon.asked:
            raise PeerError("no report was made")
    finally:
        emit("effect", success=beacon.answered > 0 and beacon.accepted == beacon.tasks,
             reports=beacon.asked, tasks=beacon.tasks)  # fmt: skip


if __name__ == "__main__":
    main(None, act)
