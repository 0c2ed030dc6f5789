"""Web: HTTP/1.1 and HTTP/2 over TLS 1.3, as browsers, scripts and applications use it.

The path says what comes back, so that every user meets pages of other sizes:
``/SIZE/NAME``, ``/moved/SIZE/NAME`` (redirect to the former) and ``/missing/NAME``.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import common_net
from common import PeerError, Service, Session, emit, heavy, main, noise, word

if TYPE_CHECKING:
    from http.client import HTTPSConnection

    from common_http import Answer, Reply, Request

KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript",
    "css": "text/css",
    "png": "image/png",
    "jpg": "image/jpeg",
    "json": "application/json",
    "bin": "application/octet-stream",
}
MAX_OBJECT_BYTES = 16 << 20


async def serve(service: Service) -> None:
    """Answer requests as their paths say."""
    from common_http import serve_http

    await serve_http(service, _answers(service))


def _answers(service: Service) -> Answer:
    from common_headers import server_headers
    from common_http import Reply

    rng = service.rng
    think_s = float(service.params.get("think_s", 0.01))

    def answer(request: Request) -> Reply:
        parts = request.path.split("?")[0].strip("/").split("/")
        kind = KINDS.get(parts[-1].rpartition(".")[2], "text/plain")
        reply = Reply(
            headers=server_headers(rng, kind),
            chunked=rng.random() < 0.3,
            delay_s=min(rng.lognormvariate(0, 1.2) * think_s, 1.0),
        )
        if parts[0] == "moved":
            reply.status, reply.size = 302, heavy(rng, 200, 0.5, 0, 900)
            reply.headers.append(("Location", "/" + "/".join(parts[1:])))
        elif parts[0].isdigit() and int(parts[0]) <= MAX_OBJECT_BYTES:
            reply.size = int(parts[0])
            if reply.size > 50_000 and rng.random() < 0.12:  # some servers throttle their users
                reply.rate_bytes_s = heavy(rng, 1_000_000, 0.7, 250_000, 8_000_000)
        else:
            reply.status, reply.size = 404, heavy(rng, 400, 0.8, 100, 4_000)
        return reply

    return answer


class Wishes:
    """Draws what one user asks for."""

    def __init__(self, session: Session) -> None:
        self.rng = session.rng
        self.median = float(session.params.get("object_bytes", 6_000))
        self.most = int(session.params.get("max_object_kb", 2_000)) << 10
        self.left = int(session.params.get("budget_kb", 6_000)) << 10

    def size(self, scale: float = 1.0) -> int:
        """A heavy-tailed object size in bytes, inside what is left of the session's budget."""
        size = heavy(self.rng, self.median * scale, 1.5, 40, max(min(self.most, self.left), 41))
        self.left -= size
        return size

    def path(self, kind: str = "", scale: float = 1.0) -> str:
        """A path to ask for; now and then one that has moved or never was."""
        rng = self.rng
        kind = kind or rng.choice(list(KINDS))
        name = "-".join(word(rng) for _ in range(rng.randint(1, 5)))
        query = f"?v={rng.getrandbits(rng.choice((16, 32, 128))):x}" if rng.random() < 0.4 else ""
        chance = rng.random()
        if chance < 0.03:
            return f"/missing/{name}.{kind}{query}"
        place = "/moved" if chance < 0.07 else ""
        return f"{place}/{self.size(scale)}/{name}.{kind}{query}"


def act(session: Session) -> Awaitable[None] | None:
    """Behave as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = session.params.get("variant", "browse-h1")
    if variant == "browse-h1":
        return _browse_h1(session)
    if variant in ("browse-h2", "app-h2"):
        return _h2(session)
    if variant == "download" and session.params.get("tool") == "curl" and shutil.which("curl"):
        _curl(session)
        return None
    _script(session)
    return None


async def _browse_h1(session: Session) -> None:
    """Pages with their objects, over several connections that stay open."""
    import asyncio

    from common_headers import client_headers
    from common_http import H1Client

    wishes, params, rng = Wishes(session), session.params, session.rng
    first = H1Client(session, client_headers(rng))
    clients = [first]
    clients += [
        H1Client(session, first.headers, first.name)
        for _ in range(int(params.get("connections", 3)) - 1)
    ]

    async def load(client: H1Client, paths: list[str]) -> None:
        while paths:
            status, _, size = await client.fetch(paths.pop())
            emit("object", status=status, bytes=size)

    try:
        for page in range(int(params.get("actions", 4))):
            if page and not await session.pause():
                break
            await load(first, [wishes.path("html", 2.0)])
            objects = heavy(rng, float(params.get("objects", 5)), 0.9, 0, 30)
            paths = [wishes.path() for _ in range(objects) if wishes.left > 0]
            used = clients[: max(1, min(len(clients), len(paths)))]
            await asyncio.gather(*(load(client, paths) for client in used))
            emit("page", objects=objects)
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def _h2(session: Session) -> None:
    """Pages or application calls, many at once on one connection."""
    from common_h2 import Ask, H2Client
    from common_headers import client_headers

    wishes, params, rng = Wishes(session), session.params, session.rng
    application = params["variant"] == "app-h2"
    scale = float(params.get("think_scale", 1.0))  # applications poll, in haste or at leisure
    client = H2Client(session, client_headers(rng))
    try:
        for action in range(int(params.get("actions", 4))):
            if action and not await session.pause(scale if application else 1.0):
                break
            if application:
                body = wishes.size(0.3) if rng.random() < 0.6 else 0
                asks = [Ask(wishes.path("json", 0.4), "POST" if body else "GET", body)]
            else:
                objects = heavy(rng, float(params.get("objects", 5)), 0.9, 0, 30)
                await client.fetch([Ask(wishes.path("html", 2.0))])
                asks = [Ask(wishes.path()) for _ in range(objects) if wishes.left > 0]
            replies = await client.fetch(asks)
            emit("page", objects=len(asks), bytes=sum(size for _, _, size in replies))
    finally:
        await client.close()


def _script(session: Session) -> None:
    """A script with the standard library's client: calls, uploads or a download, one by one."""
    wishes, params, rng = Wishes(session), session.params, session.rng
    scale = float(params.get("think_scale", 1.0)) if params.get("variant") == "api" else 1.0
    link = None
    try:
        for action in range(int(params.get("actions", 4))):
            if action and not session.rest(scale):
                break
            if link is None:
                link, headers = _open_script(session)
            _one_request(link, headers, wishes, str(params.get("variant")))
            if not params.get("keep_alive", True):
                _close_script(link, rng)
                link = None
    finally:
        if link is not None:
            _close_script(link, rng)


def _open_script(session: Session) -> tuple[HTTPSConnection, dict[str, str]]:
    import http.client
    import ssl

    from common_headers import client_headers
    from common_tls import client_context, server_name

    name = server_name(session.rng, session.peer["host"])
    link = http.client.HTTPSConnection(name, session.port)
    sock = common_net.dial(session, session.port)
    try:
        link.sock = client_context(session.rng).wrap_socket(sock, server_hostname=name)
    except ssl.SSLError as error:
        sock.close()
        raise PeerError(str(error)) from error
    return link, dict(client_headers(session.rng))


def _one_request(
    link: HTTPSConnection, headers: dict[str, str], wishes: Wishes, variant: str
) -> None:
    import http.client

    upload = variant == "upload" or (variant == "api" and wishes.rng.random() < 0.4)
    size = wishes.size(12.0 if variant == "upload" else 0.2) if upload else 0
    scale = {"download": 60.0, "upload": 0.1}.get(variant, 0.4)
    body = b"".join(noise(size)) if upload else None
    try:
        link.request("POST" if upload else "GET", wishes.path("", scale), body, headers)
        with link.getresponse() as reply:
            got = sum(len(block) for block in iter(lambda: reply.read(65_536), b""))
    except http.client.HTTPException as error:
        raise PeerError(repr(error)) from error
    emit("request", status=reply.status, sent_bytes=size, bytes=got)


def _close_script(link: HTTPSConnection, rng: random.Random) -> None:
    common_net.reset_on_close(link.sock, share=common_net.RESET_SHARE, rng=rng)
    link.close()


def _curl(session: Session) -> None:
    """Downloads with curl, a process each."""
    from common_log import connection
    from common_tls import server_name

    wishes, rng = Wishes(session), session.rng
    for action in range(int(session.params.get("actions", 4))):
        if action and not session.rest():
            break
        name = server_name(rng, session.peer["host"])
        address = session.peer["address"]
        command = [
            "curl",
            "-sSkL",
            "--noproxy",
            "*",
            "--http1.1" if rng.choice(session.params["versions"]) == "h1" else "--http2",
            "--connect-to",
            f"::[{address}]:{session.port}" if ":" in address else f"::{address}:{session.port}",
            "-o",
            "/dev/null",
            "-w",
            "%{local_ip} %{local_port} %{http_code} %{size_download}",
            "-m",
            str(max(session.left_s(), 1)),
            f"https://{name}:{session.port}{wishes.path('', 60.0)}",
        ]
        began_ns = time.time_ns()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 28):  # 28: the session's time was over
            raise PeerError(f"curl: {done.stderr[:100]}")
        local_address, local_port, *result = done.stdout.split(" ")
        connection("tcp", (local_address, int(local_port)), (address, session.port), began_ns)
        emit("request", tool="curl", result=" ".join(result))


if __name__ == "__main__":
    main(serve, act)
