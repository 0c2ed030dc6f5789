"""A JSON API over HTTP: polling with entity tags, long polling, event streams, and editing.

The server, aiohttp, holds records that change by themselves, each at a pace of its own.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any

import common_net
from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_headers import client_headers
from common_site import prose
from common_tls import client_context, server_contexts, server_name
from common_tool import home, run_tool, time_left_s

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

PAGE = 20


class Records:
    """What the service knows: records whose content follows from their number and version."""

    def __init__(self, rng: random.Random) -> None:
        self.salt = rng.getrandbits(32)
        self.count = rng.randint(60, 400)
        self.periods_s = [rng.lognormvariate(1.2, 1.0) for _ in range(self.count)]
        self.median = heavy(rng, 500, 0.7, 80, 5_000)
        self.added: dict[str, Any] = {}

    def version(self, number: int) -> int:
        """Counts up as time goes by."""
        return int(time.monotonic() / self.periods_s[number % self.count])

    def record(self, number: int) -> dict[str, Any]:
        """One record as it is now."""
        version = self.version(number)
        shape = random.Random(f"{self.salt}/{number}")
        keys = [word(shape) for _ in range(shape.randint(3, 9))]
        size = heavy(shape, self.median, 1.0, 20, 40_000)
        state = random.Random(f"{self.salt}/{number}/{version}")
        values = {key: state.choice((word(state), state.randint(0, 99_999))) for key in keys}
        return {"id": number, "version": version, "text": prose(shape, size), **values}


async def serve(service: Service) -> None:
    """Run the service: HTTPS on the TLS ports, HTTP on the others."""
    from aiohttp import web

    records, rng = Records(service.rng), service.rng
    think_s = float(service.params.get("think_s", 0.01))

    @web.middleware
    async def logged(request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.read()
        await asyncio.sleep(min(rng.lognormvariate(0, 1.0) * think_s, 1.0))
        reply: web.StreamResponse = await handler(request)
        emit(
            "request",
            method=request.method,
            path=request.path_qs,
            status=reply.status,
            body_bytes=len(body),
            reply_bytes=reply.content_length,
        )
        return reply

    app = web.Application(middlewares=[logged], client_max_size=8 << 20)
    _add_routes(app, records, rng)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    tls = server_contexts(rng, service.host, ["http/1.1"])
    for port in service.ports:
        for context in tls if port in common_net.TLS_PORTS else (None,):
            await web.TCPSite(
                runner, service.address, port, ssl_context=context, reuse_port=True
            ).start()


def _add_routes(app: web.Application, records: Records, rng: random.Random) -> None:
    from aiohttp import web

    async def one(request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"]) % records.count
        tag = f'"{records.version(number):x}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.json_response(records.record(number), headers={"ETag": tag})

    async def many(request: web.Request) -> web.StreamResponse:
        first = int(request.query.get("page", "0")) * PAGE
        items = [records.record(n) for n in range(first, min(first + PAGE, records.count))]
        return web.json_response({"items": items, "more": first + PAGE < records.count})

    async def changes(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(min(rng.expovariate(0.7), float(request.query.get("wait", "5"))))
        items = [records.record(rng.randrange(records.count)) for _ in range(rng.randint(0, 3))]
        return web.json_response({"items": items, "cursor": time.monotonic_ns()})

    async def events(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        try:
            while True:
                item = json.dumps(records.record(rng.randrange(records.count)))
                await reply.write(f"event: change\ndata: {item}\n\n".encode())
                await asyncio.sleep(rng.expovariate(1.5))
        except ConnectionError:
            pass  # how listeners leave
        return reply

    async def edit(request: web.Request) -> web.StreamResponse:
        key = request.match_info.get("key") or f"{rng.getrandbits(48):x}"
        if request.method == "DELETE":
            return web.Response(status=204 if records.added.pop(key, None) else 404)
        records.added[key] = await request.json()
        status = 201 if request.method == "POST" else 200
        return web.json_response({"key": key, "saved": True}, status=status)

    app.router.add_get("/v1/items", many)
    app.router.add_get("/v1/items/{number:[0-9]+}", one)
    app.router.add_get("/v1/changes", changes)
    app.router.add_get("/v1/events", events)
    app.router.add_post("/v1/orders", edit)
    app.router.add_put("/v1/orders/{key}", edit)
    app.router.add_delete("/v1/orders/{key}", edit)


class User:
    """One program that uses the API: its rhythm and its headers."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.port = common_net.port_of(session, secure=bool(self.params.get("tls", True)))
        self.secure = self.port in common_net.TLS_PORTS
        self.name = server_name(self.rng, session.peer["host"])
        self.headers = dict(client_headers(self.rng)) | {"Accept": "application/json"}
        self.actions = int(self.params.get("actions", 8))
        self.period_s = float(self.params.get("period_s", 1.0))

    def wait_s(self) -> float:
        """Until the next request: a timer's period, or a person's thought."""
        if self.params.get("timed"):
            return self.period_s * self.rng.uniform(0.97, 1.03)
        return self.session.think_s()

    def url(self, path: str) -> str:
        """The whole address of something, by the server's address."""
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{self.session.peer['address']}:{self.port}{path}"


def act(session: Session) -> Any:
    """Use the API as the variant says."""
    user = User(session)
    variant = session.params["variant"]
    if variant in ("poll", "edit"):
        return _script(user, variant)
    if variant == "crawl":
        return _crawl(user)
    return _application(user, variant)


def _script(user: User, variant: str) -> None:
    """Poll a few records with their entity tags, or make, change and remove some."""
    link = _open(user)
    watched = [user.rng.randrange(400) for _ in range(user.rng.randint(1, 4))]
    tags: dict[int, str] = {}
    keys: list[str] = []
    try:
        for action in range(user.actions):
            wait_s = user.wait_s()
            if action and wait_s >= user.session.left_s():
                break
            time.sleep(wait_s if action else 0)
            if variant == "edit":
                _edit(user, link, keys)
                continue
            for number in watched:
                extra = {"If-None-Match": tags[number]} if number in tags else {}
                headers, _ = _call(link, "GET", f"/v1/items/{number}", user.headers | extra)
                tags[number] = headers.get("ETag", "")
    except HTTPException as error:
        raise PeerError(repr(error)) from error
    finally:
        link.close()


def _edit(user: User, link: HTTPConnection, keys: list[str]) -> None:
    rng = user.rng
    body = {word(rng): prose(rng, heavy(rng, 300, 1.2, 10, 60_000)) for _ in range(3)}
    if keys and rng.random() < 0.5:
        method = rng.choice(("PUT", "DELETE"))
        key = keys.pop(rng.randrange(len(keys)))
        _call(link, method, f"/v1/orders/{key}", user.headers, body if method == "PUT" else None)
        return
    _, content = _call(link, "POST", "/v1/orders", user.headers, body)
    keys.append(json.loads(content)["key"])


def _call(
    link: HTTPConnection, method: str, path: str, headers: dict[str, str], body: object = None
) -> tuple[Any, bytes]:
    sent = b"" if body is None else json.dumps(body).encode()
    link.request(method, path, sent or None, headers)
    with link.getresponse() as reply:
        content = reply.read()
    emit("request", method=method, status=reply.status, bytes=len(content), sent_bytes=len(sent))
    return reply.headers, content


def _open(user: User) -> HTTPConnection:
    sock = common_net.dial(user.session, user.port)
    link = HTTPConnection(user.name, user.port)
    if user.secure:
        link = HTTPSConnection(user.name, user.port)
        link.sock = client_context(user.rng).wrap_socket(sock, server_hostname=user.name)
    else:
        link.sock = sock
    return link


def _crawl(user: User) -> None:
    """Page after page with curl, a connection each."""
    with home() as folder:
        for page in range(user.actions):
            if page and not user.session.rest(0.5):
                return
            command = ["curl", "-sSk", "--noproxy", "*", "-w", "\n%{http_code} %{size_download}"]
            command += ["-m", f"{time_left_s(user.session):.1f}", "-H", f"Host: {user.name}"]
            command += ["--compressed", user.url(f"/v1/items?page={page}")]
            ran = run_tool(user.session, command, folder, fine=(0, 28))
            emit("request", tool="curl", result=ran.output.rpartition("\n")[2])


async def _application(user: User, variant: str) -> None:
    """An asynchronous application: a dashboard, a long poller or a listener to events."""
    from aiohttp import ClientError, ClientSession, ClientTimeout

    limit = ClientTimeout(total=None)
    try:
        begun()
        async with ClientSession(headers=user.headers, timeout=limit) as link:
            if variant == "events":
                await _events(user, link)
                return
            for action in range(user.actions):
                if action and not await user.session.sleep(user.wait_s()):
                    return
                if variant == "long-poll":
                    path = f"/v1/changes?wait={user.rng.randint(2, 20)}"
                    await _get(user, link, path)
                    continue
                numbers = [user.rng.randrange(400) for _ in range(user.rng.randint(2, 9))]
                await asyncio.gather(*(_get(user, link, f"/v1/items/{n}") for n in numbers))
    except ClientError as error:
        raise PeerError(repr(error)) from error


async def _get(user: User, link: ClientSession, path: str) -> None:
    async with link.get(user.url(path), ssl=client_context(user.rng)) as reply:
        content = await reply.read()
        emit("request", method="GET", status=reply.status, bytes=len(content))


async def _events(user: User, link: ClientSession) -> None:
    """Listen for as many changes as are wanted."""
    left = user.actions * 2
    async with link.get(user.url("/v1/events"), ssl=client_context(user.rng)) as reply:
        async for line in reply.content:
            if line.startswith(b"data:"):
                emit("change", bytes=len(line))
                left -= 1
            if left <= 0 or user.session.left_s() < 0.5:
                return


if __name__ == "__main__":
    main(serve, act)
