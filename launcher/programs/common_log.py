"""What programs log of their connections: both ends, as mail, web and SSH servers do.

A client logs every connection it opens, whatever library opens it, and every program that it
starts or raw socket that it makes: those open connections that its own log does not have, unless
the client knows better and says so with `all_told`. A server logs those connections that it opens
or takes for a client beside the one by which he asked.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from common import emit

if TYPE_CHECKING:
    import socket

STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn")
OWN_SOCKETS = ("grpc", "psycopg")  # libraries that open connections outside of Python


def ends(local: Sequence[Any] | None, peer_end: Sequence[Any] | None) -> dict[str, object]:
    """Both ends of a connection, as events have them; what is not known is left out."""
    fields: dict[str, object] = {}
    for name, end in (("local", local), ("peer", peer_end)):
        if isinstance(end, (tuple, list)) and len(end) >= 2:
            fields |= {f"{name}_address": end[0], f"{name}_port": end[1]}
    return fields


def peer(end: Sequence[Any] | None) -> dict[str, object]:
    """The far end of a connection."""
    return ends(None, end)


def connection(
    protocol: str, local: Sequence[Any], far: Sequence[Any], began_ns: int | None = None
) -> None:
    """Log a connection that was opened, or asked for, and when it was begun if that was sooner."""
    began = {} if began_ns is None else {"began_ns": began_ns}
    emit("connection", protocol=protocol, **ends(local, far), **began)


def all_told(*protocols: str) -> None:
    """Log that all connections of these protocols are in this log, those of helpers too."""
    emit("all-told", protocols=protocols)


def connection_for(
    asked: tuple[Sequence[Any], Sequence[Any]],
    protocol: str,
    local: Sequence[Any],
    far: Sequence[Any],
    began_ns: int,
) -> None:
    """Log what a server opened or took for a client, who asked for it by another connection.

    ``asked`` is that one, over TCP: the client's end and the server's.
    """
    (client, port, *_), (server, service, *_) = asked
    by = {"client_address": client, "client_port": port}
    by |= {"asked_address": server, "asked_port": service}
    emit("connection", protocol=protocol, began_ns=began_ns, **ends(local, far), **by)


def tell_connections() -> None:
    """Log from now on what connections are opened, and who else may open some."""
    import socket

    socket.socket.connect = _told(socket.socket.connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = _told(socket.socket.connect_ex)  # type: ignore[method-assign]
    told: set[str] = set()

    def tell(name: str) -> None:
        if name not in told:
            told.add(name)
            emit("helper", what=name)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STARTS:
            tell("program")
        elif event == "socket.__new__" and arguments[2] & 15 == socket.SOCK_RAW:
            tell("raw socket")
        elif event == "import" and arguments[0] in OWN_SOCKETS:
            tell(arguments[0])

    for library in OWN_SOCKETS:
        if library in sys.modules:
            tell(library)
    sys.addaudithook(hook)


def _told(connect: Callable[..., Any]) -> Callable[..., Any]:
    def connecting(self: socket.socket, address: Any) -> Any:
        began_ns = time.time_ns()
        try:
            return connect(self, address)
        finally:
            _tell(self, address, began_ns)

    return connecting


def _tell(sock: socket.socket, address: Any, began_ns: int) -> None:
    import socket

    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    names = {int(socket.SOCK_STREAM): "tcp", int(socket.SOCK_DGRAM): "udp"}
    protocol = names.get(sock.type & 15)  # without the flags that some kernels mix in
    if protocol is not None:
        with contextlib.suppress(OSError):
            connection(protocol, sock.getsockname(), address, began_ns)
