"""A small IMAP4rev1 server: what mail programs need to log in, look, fetch, mark and idle."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

import common_net
from common import Service, emit, heavy, noise, word

LINE_S = 60.0
CAPABILITIES = "IMAP4rev1 IDLE LITERAL+ UIDPLUS"
HEADER_BYTES = (300, 2_400)


class Mailbox:
    """The messages of everybody's one mailbox: only their sizes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sizes = [heavy(rng, 8_000, 1.6, 400, 900_000) for _ in range(rng.randint(40, 200))]
        self.arrived = asyncio.Event()

    def deliver(self, size: int) -> None:
        """Add a message and wake those who idle."""
        self.sizes.append(size)
        self.arrived.set()
        self.arrived = asyncio.Event()


@dataclass
class Client:
    """One connection's state."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    mailbox: Mailbox
    tls: ssl.SSLContext | None  # what STARTTLS would use; None once encrypted
    logged_in: bool = False
    rng: random.Random = field(default_factory=random.Random)

    def send(self, line: str) -> None:
        """Write one line."""
        self.writer.write(line.encode() + b"\r\n")


async def serve_imap(
    service: Service, port: int, mailbox: Mailbox, tls: Sequence[ssl.SSLContext], *, implicit: bool
) -> None:
    """Listen on a port, with TLS from the start or by STARTTLS."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rng = service.rng
        client = Client(reader, writer, mailbox, None if implicit else rng.choice(tls))
        client.send(f"* OK [CAPABILITY {CAPABILITIES}] {service.host} {word(rng, 3, 40)} ready")
        while await _one(client):
            await writer.drain()

    await common_net.listen(service, port, handler, tls=tls if implicit else ())


async def _one(client: Client) -> bool:
    """Answer one command; False after the last."""
    line = (await asyncio.wait_for(client.reader.readline(), LINE_S)).decode("latin-1").strip()
    if not line:
        return False
    tag, _, rest = line.partition(" ")
    verb, _, arguments = rest.partition(" ")
    verb = verb.upper()
    await asyncio.sleep(min(client.rng.lognormvariate(-6.5, 1.2), 0.5))
    if verb == "LOGOUT":
        client.send("* BYE see you")
        client.send(f"{tag} OK LOGOUT done")
        await client.writer.drain()
        return False
    if verb == "STARTTLS" and client.tls is not None:
        client.send(f"{tag} OK begin TLS")
        await client.writer.drain()
        await client.writer.start_tls(client.tls)
        client.tls = None
    elif verb in ("CAPABILITY", "NOOP", "CHECK"):
        if verb == "CAPABILITY":
            client.send(f"* CAPABILITY {CAPABILITIES}{' STARTTLS' if client.tls else ''}")
        client.send(f"{tag} OK {verb} done")
    elif verb == "LOGIN":
        _login(client, tag, arguments)
    elif not client.logged_in or verb not in _COMMANDS:
        client.send(f"{tag} BAD unknown command or wrong state")
    elif verb == "IDLE":
        await _idle(client, tag)
    else:
        _COMMANDS[verb](client, arguments)
        client.send(f"{tag} OK {verb} done")
        emit("imap", command=verb, arguments=arguments[:60])
    return True


def _login(client: Client, tag: str, arguments: str) -> None:
    client.logged_in = arguments.endswith(('"lab-password"', " lab-password"))
    emit("auth", ok=client.logged_in)
    client.send(f"{tag} OK logged in" if client.logged_in else f"{tag} NO wrong password")


async def _idle(client: Client, tag: str) -> None:
    """Push news until the client says DONE; some servers also say they are still there."""
    client.send("+ idling")
    done = asyncio.ensure_future(client.reader.readline())
    try:
        while not done.done():
            news = asyncio.ensure_future(client.mailbox.arrived.wait())
            await asyncio.wait(
                [done, news], timeout=client.rng.uniform(1, 8), return_when=asyncio.FIRST_COMPLETED
            )
            if not done.done():
                fresh = news.done()
                client.send(f"* {len(client.mailbox.sizes)} EXISTS" if fresh else "* OK Still here")
                await client.writer.drain()
            news.cancel()
        client.send(f"{tag} OK IDLE done")
    finally:
        done.cancel()


def _select(client: Client, _: str) -> None:
    client.send(r"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)")
    client.send(f"* {len(client.mailbox.sizes)} EXISTS")
    client.send(f"* {client.rng.randint(0, 9)} RECENT")
    client.send("* OK [UIDVALIDITY 1700000000] UIDs valid")


def _list(client: Client, _: str) -> None:
    for name in ("INBOX", "Sent", "Drafts", "Trash", "Archive")[: client.rng.randint(2, 5)]:
        client.send(rf'* LIST (\HasNoChildren) "/" {name}')


def _search(client: Client, arguments: str) -> None:
    count = len(client.mailbox.sizes)
    share = 1.0 if "ALL" in arguments.upper() else client.rng.random() * 0.3
    found = [str(n) for n in range(1, count + 1) if client.rng.random() < share]
    client.send(" ".join(["* SEARCH", *found]))


def _numbers(client: Client, text: str) -> list[int]:
    count = len(client.mailbox.sizes)
    found = re.fullmatch(r"(\d+)(?::(\d+|\*))?", text)
    if found is None:
        return []
    last = count if found[2] == "*" else int(found[2] or found[1])
    return list(range(max(int(found[1]), 1), min(last, count) + 1))


def _fetch(client: Client, arguments: str) -> None:
    which, _, items = arguments.partition(" ")
    items = items.upper()
    for number in _numbers(client, which):
        size = client.mailbox.sizes[number - 1]
        parts = []
        if "FLAGS" in items:
            parts.append(r"FLAGS (\Seen)" if client.rng.random() < 0.7 else "FLAGS ()")
        if "RFC822.SIZE" in items:
            parts.append(f"RFC822.SIZE {size}")
        if "BODY" in items:
            header = "HEADER" in items
            length = client.rng.randint(*HEADER_BYTES) if header else size
            name = "BODY[HEADER]" if header else "BODY[]"
            client.send(f"* {number} FETCH ({' '.join([*parts, name])} {{{length}}}")
            for block in noise(length):
                client.writer.write(block)
            client.send(")")
        else:
            client.send(f"* {number} FETCH ({' '.join(parts)})")


def _store(client: Client, arguments: str) -> None:
    for number in _numbers(client, arguments.split(" ", maxsplit=1)[0]):
        client.send(rf"* {number} FETCH (FLAGS (\Seen))")


def _nothing(client: Client, _: str) -> None:
    """EXPUNGE and CLOSE: there is nothing to do."""


_COMMANDS = {
    "SELECT": _select,
    "EXAMINE": _select,
    "LIST": _list,
    "SEARCH": _search,
    "FETCH": _fetch,
    "STORE": _store,
    "EXPUNGE": _nothing,
    "CLOSE": _nothing,
    "IDLE": _nothing,
}
