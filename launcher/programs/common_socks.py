"""The client's side of SOCKS 5 (RFC 1928), with or without a login (RFC 1929)."""

from __future__ import annotations

import socket
import struct

from common import PeerError
from common_inside import Streams

SOCKS, CONNECT, IPV4 = 5, 1, 1
NO_LOGIN, GSSAPI, LOGIN = 0, 1, 2


async def ask(
    streams: Streams,
    address: str,
    port: int,
    *,
    login: tuple[str, str] | None,
    gssapi: bool = False,
) -> None:
    """Have the proxy connect to ``address:port``; `PeerError` if it refuses.

    ``gssapi`` is offered as well, as some clients do; no proxy of the lab takes it.
    """
    reader, writer = streams
    offered = (NO_LOGIN, *([GSSAPI] if gssapi else []), *([LOGIN] if login else []))
    methods = bytes(offered)
    writer.write(bytes([SOCKS, len(methods)]) + methods)
    chosen = (await reader.readexactly(2))[1]
    if chosen == LOGIN and login:
        user, password = (text.encode() for text in login)
        writer.write(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        await reader.readexactly(2)
    writer.write(bytes([SOCKS, CONNECT, 0, IPV4]) + socket.inet_aton(address))
    writer.write(struct.pack("!H", port))
    answer = await reader.readexactly(10)
    if answer[1] != 0:
        raise PeerError(f"SOCKS says {answer[1]}")
