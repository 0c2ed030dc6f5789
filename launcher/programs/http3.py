"""HTTP/3 over QUIC by aioquic: pages, calls, downloads and uploads, also with resumed sessions.

The path says what comes back: ``/SIZE/NAME``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve as serve_quic
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from aioquic.tls import CipherSuite, SessionTicket
from common import PeerError, Service, Session, begun, emit, heavy, main, noise, word
from common_headers import client_headers, server_headers
from common_tls import certificate_chain, server_name

MAX_OBJECT_BYTES = 4 << 20
KEY_END = b"-----END PRIVATE KEY-----\n"
Fields = list[tuple[bytes, bytes]]


async def serve(service: Service) -> None:
    """Serve HTTP/3 on every port."""
    from common_daemon import workspace

    folder, rng = workspace(service), service.rng
    key, mark, chain = certificate_chain(rng, service.host).partition(KEY_END)
    (folder / "key.pem").write_bytes(key + mark)
    (folder / "chain.pem").write_bytes(chain)
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=H3_ALPN,
        congestion_control_algorithm=rng.choice(("reno", "cubic")),
        max_datagram_size=rng.choice((1_200, 1_252, 1_350)),
        idle_timeout=rng.choice((30.0, 60.0, 180.0)),
    )
    configuration.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    tickets: dict[bytes, SessionTicket] = {}

    def create(*arguments: Any, **keywords: Any) -> ServerSide:
        return ServerSide(*arguments, rng=rng, **keywords)

    for port in service.ports:
        await serve_quic(
            service.address,
            port,
            configuration=configuration,
            create_protocol=create,
            session_ticket_fetcher=lambda label: tickets.pop(label, None),
            session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
            retry=rng.random() < 0.3,
        )


class _Side(QuicConnectionProtocol):
    """One end of a connection: HTTP/3 on QUIC."""

    _http: H3Connection | None = None

    @property
    def http(self) -> H3Connection:
        """The HTTP/3 layer."""
        if self._http is None:
            self._http = H3Connection(self._quic)
        return self._http

    def quic_event_received(self, event: QuicEvent) -> None:
        """Hand what came to the HTTP/3 layer."""
        for item in self.http.handle_event(event):
            self.take(item)
        if isinstance(event, ConnectionTerminated):
            self.ended()

    def take(self, event: H3Event) -> None:
        """Something of a request or a reply."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is over."""


class ServerSide(_Side):
    """Answers requests as their paths say."""

    def __init__(self, *arguments: Any, rng: random.Random, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._rng = rng
        self._requests: dict[int, tuple[str, str, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, event: H3Event) -> None:
        """Count the request's body, and answer when it has come."""
        if isinstance(event, HeadersReceived):
            fields = {name.decode(): value.decode() for name, value in event.headers}
            self._requests[event.stream_id] = (
                fields.get(":method", ""),
                fields.get(":path", ""),
                0,
            )
        elif isinstance(event, DataReceived) and event.stream_id in self._requests:
            method, path, size = self._requests[event.stream_id]
            self._requests[event.stream_id] = (method, path, size + len(event.data))
        if isinstance(event, (HeadersReceived, DataReceived)) and event.stream_ended:
            task = asyncio.create_task(self._answer(event.stream_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def ended(self) -> None:
        """Stop answering."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, stream: int) -> None:
        method, path, body_bytes = self._requests.pop(stream)
        first = path.split("?")[0].strip("/").split("/")[0]
        known = first.isdigit() and int(first) <= MAX_OBJECT_BYTES
        size = int(first) if known else heavy(self._rng, 400, 0.8, 100, 4_000)
        status = 200 if known else 404
        await asyncio.sleep(min(self._rng.lognormvariate(-5, 1.0), 0.8))
        extra = [(k.lower(), v) for k, v in server_headers(self._rng, "application/octet-stream")]
        self.http.send_headers(stream, _encode([(":status", str(status)), *extra]))
        for block in noise(size):
            self.http.send_data(stream, block, end_stream=False)
        self.http.send_data(stream, b"", end_stream=True)
        self.transmit()
        emit(
            "request",
            method=method,
            path=path,
            status=status,
            body_bytes=body_bytes,
            reply_bytes=size,
            version="3",
        )


class ClientSide(_Side):
    """Asks, and takes the replies."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._got: dict[int, tuple[int, int]] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def fetch(
        self, name: str, path: str, headers: list[tuple[str, str]], body_bytes: int = 0
    ) -> None:
        """Send a request and await its reply."""
        stream = self._quic.get_next_available_stream_id()
        head = [
            (":method", "POST" if body_bytes else "GET"),
            (":scheme", "https"),
            (":authority", name),
            (":path", path),
        ]
        self._waiting[stream] = asyncio.get_running_loop().create_future()
        self.http.send_headers(stream, _encode(head + headers), end_stream=not body_bytes)
        for number, block in enumerate(blocks := list(noise(body_bytes))):
            self.http.send_data(stream, block, end_stream=number == len(blocks) - 1)
        self.transmit()
        await self._waiting[stream]
        status, size = self._got.pop(stream)
        emit("request", status=status, bytes=size, sent_bytes=body_bytes)

    def take(self, event: H3Event) -> None:
        """Note the status and count the body."""
        if isinstance(event, HeadersReceived):
            status = int(dict(event.headers).get(b":status", b"0"))
            self._got[event.stream_id] = (status, 0)
        elif isinstance(event, DataReceived) and event.stream_id in self._got:
            status, size = self._got[event.stream_id]
            self._got[event.stream_id] = (status, size + len(event.data))
        if isinstance(event, (HeadersReceived, DataReceived)) and event.stream_ended:
            self._end(event.stream_id, None)

    def ended(self) -> None:
        """Whoever still waits waits in vain."""
        for stream in list(self._waiting):
            self._end(stream, EOFError("the server closed the connection"))

    def _end(self, stream: int, error: Exception | None) -> None:
        waiting = self._waiting.pop(stream, None)
        if waiting is not None and not waiting.done():
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)


def _encode(headers: list[tuple[str, str]]) -> Fields:
    return [(name.encode(), value.encode()) for name, value in headers]


class User:
    """One user: the program's habits, and what is wanted."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.variant = str(session.params["variant"])
        self.name = server_name(session.rng, session.peer["host"])
        self.headers = [(k.lower(), v) for k, v in client_headers(session.rng)]
        self.left = int(session.params.get("budget_kb", 2_000)) << 10
        self.ticket: SessionTicket | None = None
        suites = [CipherSuite.AES_128_GCM_SHA256, CipherSuite.CHACHA20_POLY1305_SHA256]
        self.suites = self.rng.choice((None, suites, suites[::-1], suites[:1]))
        self.datagram_bytes = self.rng.choice((1_200, 1_200, 1_252, 1_350, 1_400))
        self.id_bytes = self.rng.choice((4, 8, 8, 12, 20))

    def configuration(self) -> QuicConfiguration:
        """How this user's program speaks QUIC."""
        return QuicConfiguration(
            alpn_protocols=H3_ALPN,
            server_name=self.name,
            verify_mode=0,
            cipher_suites=self.suites,
            max_datagram_size=self.datagram_bytes,
            connection_id_length=self.id_bytes,
            session_ticket=self.ticket,
        )

    def keep(self, ticket: SessionTicket) -> None:
        """Remember a ticket for the next connection."""
        self.ticket = ticket

    def wishes(self) -> Iterator[tuple[str, int]]:
        """Paths of one action's requests, and sizes of their bodies."""
        median = float(self.params.get("object_bytes", 6_000))
        scale = {"download": 60.0, "upload": 0.1, "api": 0.3}.get(self.variant, 1.0)
        count = 1
        if self.variant in ("browse", "resume"):
            count = heavy(self.rng, float(self.params.get("objects", 8)), 0.8, 1, 40)
        for _ in range(count):
            size = heavy(self.rng, median * scale, 1.3, 40, max(min(self.left, 2 << 20), 41))
            body = (
                heavy(self.rng, median * 20, 1.0, 500, 1 << 20) if self.variant == "upload" else 0
            )
            if self.variant == "api" and self.rng.random() < 0.4:
                body = heavy(self.rng, 600, 1.0, 20, 20_000)
            self.left -= size + body
            yield f"/{size}/{word(self.rng)}", body

    async def act(self, link: ClientSide) -> None:
        """One action: all its requests at once."""
        asks = [link.fetch(self.name, path, self.headers, body) for path, body in self.wishes()]
        await asyncio.gather(*asks)


async def act(session: Session) -> None:
    """Browse, call, download or upload; some users connect anew for each action."""
    user = User(session)
    again = user.variant == "resume"
    actions = int(session.params.get("actions", 3))
    while actions > 0 and user.left > 0:
        begun()
        async with connect(
            session.peer["address"],
            session.port,
            configuration=user.configuration(),
            create_protocol=ClientSide,
            session_ticket_handler=user.keep,
            wait_connected=user.ticket is None,
        ) as link:
            if not isinstance(link, ClientSide):
                raise PeerError("no connection of ours")
            resumed = user.ticket is not None
            while actions > 0 and user.left > 0:
                actions -= 1
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(user.act(link), max(session.left_s() - 0.3, 0.1))
                if again or not await session.pause():
                    break
            emit("connection", resumed=resumed)
        if not again or not await session.pause():
            return


if __name__ == "__main__":
    main(serve, act)
