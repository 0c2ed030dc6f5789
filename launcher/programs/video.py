"""Video: HLS-like adaptive segments over HTTPS, and a player that adapts to what it measures.

The server's titles have ladders of renditions; a segment's size follows its title's scenes, the
same for everybody who watches it. A connection is as fast as its user's last mile lets it be, so
a player sees rates that wander, and must adapt.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import common_net
from common import PeerError, Service, Session, emit, main, word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common_http import Answer, Reply, Request

LADDER_KBIT = (240, 400, 640, 1_000, 1_500, 2_200, 3_200, 4_500)
AUDIO_KBIT = (96, 128, 160, 192, 256, 320)
LIVE_SEGMENTS = 6


async def serve(service: Service) -> None:
    """Serve playlists and segments."""
    from common_http import serve_http

    await serve_http(service, _answers(service))


def _answers(service: Service) -> Answer:
    from common_headers import server_headers
    from common_http import Reply

    rng = service.rng
    salt = rng.getrandbits(32)

    def answer(request: Request) -> Reply:
        kind, *rest = request.path.split("?")[0].strip("/").split("/")
        reply = Reply(delay_s=min(rng.lognormvariate(math.log(0.006), 1.0), 0.6))
        try:
            _fill(reply, kind, rest, salt)
        except (ValueError, IndexError):
            reply.status, reply.size = 404, rng.randint(100, 900)
        reply.headers = server_headers(rng, "video/mp4" if kind == "s" else "text/plain")
        reply.chunked = kind != "s" and rng.random() < 0.2
        return reply

    return answer


def _fill(reply: Reply, kind: str, rest: Sequence[str], salt: int) -> None:
    """``/m/TITLE`` is a ladder, ``/i/TITLE/KBIT/MS/START`` a playlist,
    ``/s/TITLE/KBIT/MS/NUMBER/RATE`` a segment, sent at RATE kbit/s.
    """
    title = random.Random(f"{salt}/{rest[0]}")
    if kind == "m":
        ladder = sorted(title.sample(LADDER_KBIT, title.randint(4, 7)))
        lines = [
            f"#EXT-X-STREAM-INF:BANDWIDTH={int(kbit * title.uniform(900, 1_150))},"
            f'CODECS="{word(title, 4, 20)}"\n{kbit}'
            for kbit in ladder
        ]
        reply.body = ("#EXTM3U\n" + "\n".join(lines) + "\n").encode()
    elif kind == "i":
        length_s, start = int(rest[2]) / 1_000, int(rest[3])
        count = LIVE_SEGMENTS if start else title.randint(20, 400)
        lines = [
            f"#EXTINF:{length_s:.3f},\n{word(title, 4, 9)}{start + n}.m4s" for n in range(count)
        ]
        reply.body = ("#EXTM3U\n#EXT-X-VERSION:7\n" + "\n".join(lines) + "\n").encode()
    elif kind == "s":
        kbit, length_ms, number = int(rest[1]), int(rest[2]), int(rest[3])
        scene = random.Random(f"{salt}/{rest[0]}/{number}").lognormvariate(-0.08, 0.4)
        reply.size = int(min(kbit * length_ms / 8 * min(scene, 4.0), 4 << 20))
        reply.rate_bytes_s = max(int(rest[4]), 50) * 125.0
    else:
        raise ValueError(kind)


@dataclass
class Player:
    """What the player knows: buffer and throughput, from which it chooses the next rendition."""

    ladder: Sequence[int]
    segment_s: float
    target_s: float
    rule: str
    rate_kbit: float = 0.0
    buffer_s: float = 0.0
    played_at: float = 0.0

    def choose(self) -> int:
        """Rendition for the next segment, in kbit/s."""
        if self.rule == "fixed":
            return self.ladder[len(self.ladder) // 2]
        if self.rule == "buffer":
            share = min(self.buffer_s / self.target_s, 1.0)
            return self.ladder[int(share * (len(self.ladder) - 1))]
        fitting = [kbit for kbit in self.ladder if kbit < 0.8 * self.rate_kbit]
        return fitting[-1] if fitting else self.ladder[0]

    def got(self, size: int, took_s: float) -> None:
        """A segment has arrived: update rate and buffer."""
        rate_kbit = size * 8 / 1_000 / max(took_s, 0.001)
        self.rate_kbit = 0.6 * self.rate_kbit + 0.4 * rate_kbit if self.rate_kbit else rate_kbit
        self.drain()
        self.buffer_s += self.segment_s

    def drain(self) -> None:
        """Play for as long as has passed."""
        now = time.monotonic()
        if self.played_at:
            self.buffer_s = max(0.0, self.buffer_s - (now - self.played_at))
        self.played_at = now

    def wait_s(self) -> float:
        """How long the buffer is too full for another segment."""
        self.drain()
        return max(0.0, self.buffer_s - self.target_s)


class Stream:
    """Fetches by HTTP/1.1 or HTTP/2, on one connection or on a new one after some segments."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.http2 = bool(session.params.get("http2"))
        self.per_connection = int(session.params.get("per_connection", 0))
        self.segments = 0
        self._client = self._new()

    def _new(self) -> Any:
        from common_headers import client_headers

        if self.http2:
            from common_h2 import H2Client

            return H2Client(self.session, client_headers(self.session.rng))
        from common_http import H1Client

        return H1Client(self.session, client_headers(self.session.rng))

    async def get(self, path: str) -> tuple[bytes, int]:
        """Start and size of what ``path`` names."""
        if self.http2:
            from common_h2 import Ask

            status, start, size = (await self._client.fetch([Ask(path)]))[0]
        else:
            status, start, size = await self._client.fetch(path)
        if status != 200:
            raise PeerError(f"status {status} for {path}")
        self.segments += path.startswith("/s/")
        if self.per_connection and self.segments >= self.per_connection:
            self.segments = 0
            await self.close()
            self._client = self._new()
        return start, size

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()


class Watcher:
    """One user watching: the last mile, the budget and the segments."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.stream = Stream(session)
        self.left = int(self.params.get("budget_kb", 6_000)) << 10
        self.mile_kbit = float(self.params.get("mile_kbit", 6_000))

    def _mile(self) -> int:
        """The last mile's rate now, in kbit/s: a walk that returns to its mean."""
        mean = float(self.params.get("mile_kbit", 6_000))
        step = self.rng.lognormvariate(0, 0.25)
        self.mile_kbit = min(max((self.mile_kbit * step * 4 + mean) / 5, mean / 5), mean * 5)
        return int(self.mile_kbit)

    async def ladder(self, title: str) -> list[int]:
        """Renditions to choose from, up to what this user's screen shows."""
        if self.params.get("variant") == "audio":
            return [self.rng.choice(AUDIO_KBIT)]
        start, _ = await self.stream.get(f"/m/{title}")
        kbits = [int(line) for line in start.decode().split("\n") if line.isdigit()]
        most = int(self.params.get("screen_kbit", 3_200))
        return [kbit for kbit in kbits if kbit <= most] or kbits[:1]

    async def segment(self, title: str, player: Player, number: int) -> None:
        """Fetch one segment."""
        kbit, length_ms = player.choose(), int(player.segment_s * 1_000)
        began = time.monotonic()
        _, size = await self.stream.get(f"/s/{title}/{kbit}/{length_ms}/{number}/{self._mile()}")
        self.left -= size
        player.got(size, time.monotonic() - began)
        emit("segment", number=number, kbit=kbit, bytes=size, buffer_s=round(player.buffer_s, 2))

    async def watch(self, title: str, seconds: float) -> None:
        """Watch so many seconds of a title, or of what is live."""
        params, live = self.params, self.params.get("variant") == "live"
        segment_s = float(params.get("segment_s", 2.0))
        player = Player(
            await self.ladder(title),
            segment_s,
            float(params.get("target_s", 8.0)),
            str(params.get("rule", "rate")),
        )
        first = self.rng.randint(1, 5_000) if live else 0
        count = max(1, int(seconds / segment_s))
        for number in range(first, first + count):
            if number == first or live:
                kbit, length_ms = player.choose(), int(segment_s * 1_000)
                await self.stream.get(f"/i/{title}/{kbit}/{length_ms}/{number if live else 0}")
            await self.segment(title, player, number)
            wait_s = (
                segment_s * self.rng.uniform(0.85, 1.1)
                if live and number > first + 1
                else player.wait_s()
            )
            if self.left <= 0 or (wait_s and not await self.session.sleep(wait_s)):
                return


async def act(session: Session) -> None:
    """Watch one title after another, with pauses between them."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    watcher = Watcher(session)
    try:
        for title in range(int(session.params.get("actions", 1))):
            if title and (watcher.left <= 0 or not await session.pause()):
                break
            seconds = float(session.params.get("title_s", 60.0)) * session.rng.uniform(0.5, 1.5)
            await watcher.watch(word(session.rng), seconds)
            emit("title", watched_s=round(seconds, 1))
    finally:
        await watcher.stream.close()


if __name__ == "__main__":
    main(serve, act)
