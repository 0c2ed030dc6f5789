"""Sockets of the lab programs: tuned like many machines, opened and closed in many ways."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from common import FAILURES, Service, Session, about, begun, emit
from common_log import ends

if TYPE_CHECKING:
    import asyncio
    import ssl

TLS_PORTS = frozenset((443, 8_443, 50_052))  # where services with plain ports too speak TLS
CLOSE_S = 0.5  # how long a polite close may take
RESET_SHARE = 0.08  # of connections that a client drops with RST, as browsers and phones do
USUAL_SEGMENTS = (0, 0, 0, 0, 1460, 1452, 1440, 1400, 1380, 1360, 1300, 1220)
USUAL_BUFFERS = (0, 0, 0, 0, 16_384, 32_768, 65_536, 131_072, 262_144)


def family(address: str) -> socket.AddressFamily:
    """Of sockets that talk to this numeric address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tune(sock: socket.socket, rng: random.Random) -> None:
    """Give a socket the habits of one of many machines: segment size, buffers, keep-alive."""
    sizes = [
        (socket.IPPROTO_TCP, socket.TCP_MAXSEG, rng.choice(USUAL_SEGMENTS)),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, rng.choice(USUAL_BUFFERS)),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, rng.choice(USUAL_BUFFERS)),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, rng.randrange(2)),
        (socket.IPPROTO_TCP, socket.TCP_QUICKACK, rng.randrange(2)),
    ]
    if rng.random() < 0.3:
        sizes.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        sizes.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, rng.choice((2, 5, 10, 15, 30, 60))))
    for level, option, value in sizes:
        if value or option == socket.TCP_NODELAY:
            with contextlib.suppress(OSError):
                sock.setsockopt(level, option, value)


def dial(session: Session, port: int, timeout_s: float = 10.0) -> socket.socket:
    """A connected, tuned, blocking socket to the session's service."""
    sock = socket.socket(family(session.peer["address"]), socket.SOCK_STREAM)
    tune(sock, session.rng)
    sock.settimeout(timeout_s)
    begun()
    try:
        sock.connect((session.peer["address"], port))
    except BaseException:
        sock.close()
        raise
    return sock


def port_of(session: Session, *, secure: bool) -> int:
    """The service's first port with TLS, or without it; of one that has no such, its first."""
    ports = [int(port) for port in session.peer["ports"] or [session.port]]
    return next((port for port in ports if (port in TLS_PORTS) == secure), ports[0])


def touch(session: Session, port: int) -> None:
    """Connect and leave without a word: a speculative connection, a reachability check."""
    sock = dial(session, port)
    time.sleep(min(session.rng.expovariate(4), 1.0, max(session.left_s(), 0)))
    reset_on_close(sock, share=0.3, rng=session.rng)
    sock.close()
    emit("touch", port=port)


def reset_on_close(sock: Any, *, share: float, rng: random.Random) -> None:
    """Make some sockets end with RST instead of FIN; None is one that has ended already."""
    if rng.random() < share and sock is not None:
        with contextlib.suppress(OSError):
            linger = b"\x01\0\0\0\0\0\0\0"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


Streams = tuple["asyncio.StreamReader", "asyncio.StreamWriter"]


async def connect(
    session: Session, port: int, *, tls: ssl.SSLContext | None = None, name: str | None = None
) -> Streams:
    """Asynchronous `dial`, with TLS when a context is given."""
    import asyncio

    sock = socket.socket(family(session.peer["address"]), socket.SOCK_STREAM)
    tune(sock, session.rng)
    sock.setblocking(False)
    begun()
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (session.peer["address"], port))
        if tls is None:
            return await asyncio.open_connection(sock=sock)
        return await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=name, ssl_shutdown_timeout=CLOSE_S
        )
    except BaseException:
        sock.close()
        raise


async def disconnect(writer: asyncio.StreamWriter, rng: random.Random) -> None:
    """Close a connection, mostly politely."""
    import asyncio

    reset_on_close(writer.get_extra_info("socket"), share=RESET_SHARE, rng=rng)
    writer.close()
    with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(writer.wait_closed(), CLOSE_S)


Handler = Callable[["asyncio.StreamReader", "asyncio.StreamWriter"], Awaitable[None]]


async def listen(
    service: Service, port: int, handler: Handler, *, tls: Sequence[ssl.SSLContext] = ()
) -> None:
    """Serve ``handler`` on a port; what clients do wrong ends their connection, nothing else.

    With several TLS contexts there is a listener for each, and the kernel spreads the clients.
    """
    import asyncio

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tune(writer.get_extra_info("socket"), service.rng)
        about(**ends(writer.get_extra_info("sockname"), writer.get_extra_info("peername")))
        try:
            await handler(reader, writer)
        except (ConnectionResetError, BrokenPipeError):
            pass  # how many clients leave
        except (*FAILURES, asyncio.LimitOverrunError) as error:
            emit("dropped", port=port, error=type(error).__name__)
        finally:
            writer.close()

    if not tls:
        await asyncio.start_server(guarded, service.address, port, backlog=256)
    for context in tls:
        await asyncio.start_server(
            guarded,
            service.address,
            port,
            backlog=256,
            reuse_port=True,
            ssl=context,
            ssl_shutdown_timeout=CLOSE_S,
        )
