"""Mail: submission and delivery by SMTP, reading by IMAP; plain, STARTTLS or TLS from the start.

SMTP is served by aiosmtpd. No maintained IMAP server library exists, so ``common_imap`` is a small
one of ours, which the standard library's client (strict about the protocol) talks to.
"""

from __future__ import annotations

import base64
import contextlib
import imaplib
import logging
import random
import select
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_log import peer
from common_tls import client_context, server_contexts, server_name

USER, PASSWORD = "user", "lab-password"
ROLES = ("smtp", "submission", "imap", "imaps")
KNOWN_PORTS = {25: "smtp", 465: "smtps", 587: "submission", 143: "imap", 993: "imaps"}
WAIT_S = 10.0


def roles(ports: list[int]) -> dict[str, int]:
    """What each port is for: by its usual meaning, else by its place in the list."""
    if all(port in KNOWN_PORTS for port in ports):
        return {KNOWN_PORTS[port]: port for port in ports}
    return dict(zip(ROLES, ports, strict=False))


async def serve(service: Service) -> None:
    """Serve each port in its role; messages that arrive are sizes in a mailbox for IMAP."""
    import asyncio

    from aiosmtpd.smtp import SMTP, AuthResult
    from common_imap import Mailbox, serve_imap

    logging.getLogger("mail.log").disabled = True  # the library's; ours are the events
    tls = server_contexts(service.rng, service.host)
    mailbox = Mailbox(service.rng)
    loop = asyncio.get_running_loop()

    class Store:
        async def handle_DATA(self, _server: Any, link: Any, envelope: Any) -> str:  # noqa: N802
            await asyncio.sleep(min(service.rng.lognormvariate(-4, 1.2), 1.0))
            mailbox.deliver(size := len(envelope.content))
            emit("message", recipients=len(envelope.rcpt_tos), bytes=size, **peer(link.peer))
            return f"250 2.0.0 Ok: queued as {service.rng.getrandbits(44):X}"

    def check(_server: Any, link: Any, _envelope: Any, _method: str, data: Any) -> AuthResult:
        good = data.password == PASSWORD.encode()
        emit("auth", ok=good, **peer(link.peer))
        return AuthResult(success=good, handled=good or False)

    def smtp(role: str) -> SMTP:
        submission = role != "smtp"
        return SMTP(
            Store(),
            hostname=f"{service.host}.lab",
            ident=word(service.rng, 4, 40),
            timeout=60,
            data_size_limit=16 << 20,
            enable_SMTPUTF8=service.rng.random() < 0.7,
            tls_context=None if role == "smtps" else service.rng.choice(tls),
            loop=loop,
            authenticator=check if submission else None,
            auth_required=submission,
            auth_require_tls=role == "submission",
            require_starttls=role == "submission",
        )

    for role, port in roles(service.ports).items():
        if role.startswith("imap"):
            await serve_imap(service, port, mailbox, tls, implicit=role == "imaps")
        else:
            await loop.create_server(
                lambda role=role: smtp(role),
                service.address,
                port,
                backlog=256,
                ssl=tls[0] if role == "smtps" else None,
            )


class Links:
    """Opens tuned connections for the standard library's mail clients."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng = session, session.rng
        self.ports = roles(session.peer["ports"])
        self.name = server_name(session.rng, session.peer["host"])
        self.tls = client_context(session.rng)

    def smtp(self, port: int, *, implicit: bool = False) -> smtplib.SMTP:
        """A connected SMTP client."""
        links = self

        class Client(smtplib.SMTP):
            def _get_socket(self, _host: str, port: int, _timeout: float) -> socket.socket:
                sock = common_net.dial(links.session, port, WAIT_S)
                return links.wrap(sock) if implicit else sock

        return Client(self.name, port, local_hostname=f"{word(self.rng)}.lab", timeout=WAIT_S)

    def imap(self, port: int, *, implicit: bool) -> imaplib.IMAP4:
        """A connected IMAP client."""
        links = self

        class Client(imaplib.IMAP4):
            def _create_socket(self, _timeout: float | None) -> socket.socket:
                sock = common_net.dial(links.session, port, WAIT_S)
                return links.wrap(sock) if implicit else sock

        return Client(self.name, port)

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """TLS from the first byte."""
        return self.tls.wrap_socket(sock, server_hostname=self.name)


def act(session: Session) -> None:
    """Send, read or both, as the variant says."""
    links = Links(session)
    variant = str(session.params.get("variant", "send"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.rng.choice(session.peer["ports"]))
    try:
        if variant in ("send", "sync"):
            _send(links, "smtps" if "smtps" in links.ports else "submission")
        if variant == "relay":
            _send(links, "smtp")
        if variant == "sync" and not session.rest():
            return
        if variant in ("sync", "read-tls"):
            _read(links, "imaps")
        if variant in ("read-starttls", "push"):
            _read(links, "imap", push=variant == "push")
    except (smtplib.SMTPException, imaplib.IMAP4.error) as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error


def _send(links: Links, role: str) -> None:
    """Deliver messages over one connection."""
    session, rng, params = links.session, links.rng, links.session.params
    client = links.smtp(links.ports[role], implicit=role == "smtps")
    try:
        client.ehlo()
        if role == "submission" or (role == "smtp" and params.get("starttls", True)):
            client.starttls(context=links.tls)
            client.ehlo()
        if role != "smtp":
            _login(links, client)
        for number in range(int(params.get("actions", 2))):
            if number and not session.rest():
                break
            sender = f"{word(rng)}@{word(rng)}.lab"
            recipients = [
                f"{word(rng)}@{word(rng)}.lab" for _ in range(heavy(rng, 1.3, 0.9, 1, 12))
            ]
            body = message(
                rng,
                sender,
                recipients[0],
                heavy(
                    rng,
                    float(params.get("message_bytes", 6_000)),
                    1.5,
                    200,
                    int(params.get("max_message_kb", 1_500)) << 10,
                ),
            )
            client.sendmail(sender, recipients, body)
            emit("sent", bytes=len(body), recipients=len(recipients))
        client.quit()
    finally:
        _drop(client.sock, rng)


def _login(links: Links, client: smtplib.SMTP) -> None:
    if links.session.params.get("wrong_passwords"):
        with contextlib.suppress(smtplib.SMTPAuthenticationError):
            client.login(USER, word(links.rng))
            raise PeerError("a wrong password was accepted")
        links.session.rest()
    client.login(USER, PASSWORD)


def _drop(sock: Any, rng: random.Random) -> None:
    if sock is not None:
        common_net.reset_on_close(sock, share=common_net.RESET_SHARE, rng=rng)
        sock.close()


def message(rng: random.Random, sender: str, recipient: str, size: int) -> bytes:
    """A message of about ``size`` bytes: headers, some text, and base64 for the rest."""
    lines = [
        f"From: {word(rng).title()} <{sender}>",
        f"To: {recipient}",
        f"Subject: {' '.join(word(rng) for _ in range(rng.randint(1, 9)))}",
        f"Message-ID: <{rng.getrandbits(96):x}@{word(rng)}.lab>",
        "MIME-Version: 1.0",
    ]
    lines += [f"X-{word(rng).title()}: {word(rng, 4, 60)}" for _ in range(rng.randint(0, 12))]
    lines += ["", *(" ".join(word(rng) for _ in range(10)) for _ in range(rng.randint(1, 20)))]
    left = size - sum(len(line) + 2 for line in lines)
    attached = base64.encodebytes(rng.randbytes(max(left, 0) * 3 // 4))
    return "\r\n".join(lines).encode() + b"\r\n" + attached.replace(b"\n", b"\r\n")


def _read(links: Links, role: str, *, push: bool = False) -> None:
    """Look into the mailbox and fetch some of it."""
    session, rng = links.session, links.rng
    client = links.imap(links.ports[role], implicit=role == "imaps")
    try:
        if role == "imap":
            client.starttls(links.tls)
        if session.params.get("wrong_passwords"):
            with contextlib.suppress(imaplib.IMAP4.error):
                client.login(USER, word(rng))
            session.rest()
        client.login(USER, PASSWORD)
        if rng.random() < 0.6:
            client.list()
        count = int((client.select(readonly=rng.random() < 0.5)[1][0] or b"0").decode())
        for look in range(int(session.params.get("actions", 2))):
            if look and not session.rest():
                break
            for _ in _fetches(rng, client, count):
                if not session.rest(0.2):
                    break
        if push:
            _idle(session, client)
        client.logout()
    finally:
        _drop(client.sock, rng)


def _fetches(rng: random.Random, client: imaplib.IMAP4, count: int) -> Iterator[None]:
    """What a mail program does when it looks: search, list the newest, open some."""
    client.noop()
    client.search(None, rng.choice(("ALL", "UNSEEN", "RECENT")))
    first = max(1, count - heavy(rng, 8, 0.9, 1, 60))
    client.fetch(
        f"{first}:{count}",
        rng.choice(("(FLAGS)", "(FLAGS RFC822.SIZE)", "(FLAGS BODY.PEEK[HEADER])")),
    )
    yield
    for _ in range(heavy(rng, 2, 0.8, 1, 10)):
        number = str(rng.randint(first, count))
        _, parts = client.fetch(number, "(BODY.PEEK[])")
        emit("fetched", bytes=sum(len(part[1]) for part in parts if isinstance(part, tuple)))
        if rng.random() < 0.4:
            client.store(number, "+FLAGS", r"(\Seen)")
        yield


def _idle(session: Session, client: imaplib.IMAP4) -> None:
    """Wait for what the server pushes (RFC 2177)."""
    wait_s = min(session.rng.uniform(2, 12), session.left_s() - 1)
    if wait_s <= 0:
        return
    client.send(b"I1 IDLE\r\n")
    end = time.monotonic() + wait_s
    while (left_s := end - time.monotonic()) > 0:
        if client.sock.pending() or select.select([client.sock], [], [], left_s)[0]:  # type: ignore[attr-defined]
            client.readline()
    client.send(b"DONE\r\n")
    while not client.readline().startswith(b"I1 "):
        pass


if __name__ == "__main__":
    main(serve, act)
