"""A small web shop over plain HTTP, and its customers.

It is the lab's vulnerable demonstration application: its search puts what is asked into SQL, its
login has a weak account and no limit, and some of its folders should not be there. It holds
nothing but made-up words.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import urllib.parse
from typing import Any

from common import PeerError, Service, Session, emit, heavy, main, word
from common_shop import HIDDEN, PASSWORDS, SECRETS, request
from common_tool import home, run_tool

PRODUCTS = 60
PAGE_BYTES = (2_000, 60_000)


async def serve(service: Service) -> None:
    """Serve the shop on every port."""
    from aiohttp import web

    shop = Shop(service.rng)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", shop.answer)
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=30)
    await runner.setup()
    for port in service.ports:
        await web.TCPSite(runner, service.address, port, backlog=256).start()


class Shop:
    """Products, accounts and pages, all made from the seed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.database = sqlite3.connect(":memory:")
        self.database.executescript(
            "CREATE TABLE products (name TEXT, price INTEGER);"
            f"CREATE TABLE {SECRETS} (name TEXT, card TEXT);"
        )
        names = [word(rng, 4, 10) for _ in range(PRODUCTS)]
        self.database.executemany(
            "INSERT INTO products VALUES (?, ?)", [(name, rng.randint(1, 900)) for name in names]
        )
        self.database.executemany(
            f"INSERT INTO {SECRETS} VALUES (?, ?)",  # noqa: S608 - a constant
            [(word(rng), f"{rng.getrandbits(53):016d}") for _ in range(20)],
        )
        self.password = rng.choice(PASSWORDS)
        self.hidden = set(rng.sample(HIDDEN, 6))

    async def answer(self, asked: Any) -> Any:
        """One request."""
        from aiohttp import web

        await asyncio.sleep(min(self.rng.lognormvariate(-5, 1.0), 0.5))
        kind, *rest = asked.path.strip("/").split("/")
        status, body = 200, ""
        if asked.method == "POST" and kind == "login":
            form = await asked.post()
            status = 302 if form.get("password") == self.password else 401
        elif asked.method == "POST":
            body = str(len(await asked.read()))
        elif kind == "search":
            status, body = self.search(asked.query.get("q", ""))
        elif kind in ("", "product", "cart", "image"):
            body = self.page("/".join([kind, *rest]))
        elif kind not in self.hidden:
            status = 404
        emit("request", method=asked.method, path=asked.path[:60], status=status)
        headers = {"Location": "/account"} if status == 302 else {}
        return web.Response(status=status, text=body or f"{status}", headers=headers)

    def search(self, text: str) -> tuple[int, str]:
        """The products whose name has the text in it; here is the hole."""
        query = f"SELECT name, price FROM products WHERE name LIKE '%{text}%'"  # noqa: S608
        try:
            rows = self.database.execute(query).fetchmany(200)
        except sqlite3.Error as error:
            return 500, f"database error: {error}"
        return 200, "\n".join(f"<li>{name}: {price}</li>" for name, price in rows)

    def page(self, path: str) -> str:
        """A page or picture, the same for everybody."""
        rng = random.Random(f"{self.password}/{path}")
        low, high = PAGE_BYTES
        return word(rng, 200, 400) * (heavy(rng, 6_000, 0.8, low, high) // 300)


def act(session: Session) -> None:
    """Browse, search, log in or buy."""
    variant, rng = str(session.params.get("variant", "browse")), session.rng
    if session.params.get("tool") == "curl":
        _by_curl(session, variant)
        return
    for action in range(int(session.params.get("actions", 5))):
        if action and not session.rest(float(session.params.get("think_scale", 1.0))):
            return
        status, size = request(session, *_wish(variant, rng))
        if status >= 500:
            raise PeerError(f"the shop failed: {status}")
        emit("answer", status=status, bytes=size)


def _wish(variant: str, rng: random.Random) -> tuple[str, str, dict[str, str] | None]:
    """Method, path and form of what a customer does next."""
    if variant == "search":
        return "GET", f"/search?q={urllib.parse.quote(word(rng, 2, 4)[:2])}", None
    if variant == "login" and rng.random() < 0.5:
        return "POST", "/login", {"user": word(rng), "password": word(rng)}
    if variant == "buy" and rng.random() < 0.6:
        items = {f"item{n}": word(rng) for n in range(heavy(rng, 3, 0.6, 1, 20))}
        return "POST", "/order", {**items, "note": word(rng) * heavy(rng, 10, 1.0, 1, 400)}
    kind = rng.choice(("product", "product", "image", "cart", ""))
    return "GET", f"/{kind}/{rng.randrange(PRODUCTS)}" if kind else "/", None


def _by_curl(session: Session, variant: str) -> None:
    """The same with curl, a process and a connection each."""
    with home() as folder:
        for action in range(int(session.params.get("actions", 5))):
            if action and not session.rest(float(session.params.get("think_scale", 1.0))):
                return
            method, path, form = _wish(variant, session.rng)
            url = f"http://{session.peer['address']}:{session.port}{path}"
            command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-m", "20", url]
            for name, value in (form or {}).items():
                command += ["--data-urlencode", f"{name}={value}"]
            emit(
                "answer",
                tool="curl",
                method=method,
                status=run_tool(session, command, folder, fine=None).output,
            )


if __name__ == "__main__":
    main(serve, act)
