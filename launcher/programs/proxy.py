"""Proxies: SOCKS 5 in the open (RFC 1928, 1929), and HTTP CONNECT or SOCKS 5 inside TLS.

The server listens for plain SOCKS on its first port and for TLS on its second, where the first
byte tells the two protocols apart. It connects to hosts of the lab only.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import struct

import common_net
from common import PeerError, Service, Session, emit, main, word
from common_inside import Streams, carry, relay
from common_socks import CONNECT, IPV4, LOGIN, NO_LOGIN, SOCKS, ask
from common_tls import client_context, server_contexts, server_name

LAB = ipaddress.IPv4Network("198.18.0.0/15")
DOMAIN, NONE = 3, 0xFF
DIAL_S = 5.0


async def serve(service: Service) -> None:
    """Listen on both ports."""
    plain, secure = service.ports
    await common_net.listen(service, plain, serve_one)
    contexts = server_contexts(service.rng, service.host)
    await common_net.listen(service, secure, serve_one, tls=contexts)


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A client: what it wants, and then its bytes both ways."""
    first = await reader.readexactly(1)
    if first[0] == SOCKS:
        address, port = await _take_socks(reader, writer)
        yes, no = _reply(0), _reply(5)
    else:
        address, port = await _take_connect(reader, first)
        yes, no = b"HTTP/1.1 200 Connection established\r\n\r\n", b"HTTP/1.1 502 Bad\r\n\r\n"
    emit("connect", address=address, port=port)
    try:
        if ipaddress.ip_address(address) not in LAB:
            raise PermissionError(f"{address} is not in the lab")
        far = await asyncio.wait_for(asyncio.open_connection(address, port), DIAL_S)
    except (OSError, TimeoutError) as error:
        writer.write(no)
        await writer.drain()
        raise PeerError(str(error)) from error
    writer.write(yes)
    await relay((reader, writer), far)


async def _take_socks(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[str, int]:
    """The methods, perhaps a login, and the request."""
    methods = await reader.readexactly((await reader.readexactly(1))[0])
    method = LOGIN if LOGIN in methods else NO_LOGIN if NO_LOGIN in methods else NONE
    writer.write(bytes([SOCKS, method]))
    if method == NONE:
        raise PeerError("no method in common")
    if method == LOGIN:
        await reader.readexactly(1)  # the version of the sub-negotiation
        user = await reader.readexactly((await reader.readexactly(1))[0])
        await reader.readexactly((await reader.readexactly(1))[0])
        emit("login", user=user.decode(errors="replace"))
        writer.write(b"\x01\x00")
    version, command, _, kind = await reader.readexactly(4)
    if (version, command) != (SOCKS, CONNECT) or kind not in (IPV4, DOMAIN):
        raise PeerError("only connections to IPv4 addresses and names")
    if kind == IPV4:
        address = socket.inet_ntoa(await reader.readexactly(4))
    else:
        name = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        address = await asyncio.to_thread(socket.gethostbyname, name)
    return address, struct.unpack("!H", await reader.readexactly(2))[0]


def _reply(code: int) -> bytes:
    return bytes([SOCKS, code, 0, IPV4]) + bytes(6)


async def _take_connect(reader: asyncio.StreamReader, first: bytes) -> tuple[str, int]:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
    method, target, _ = head.split(" ", 2)
    address, _, port = target.rpartition(":")
    if method != "CONNECT" or not port.isdecimal():
        raise PeerError("no CONNECT")
    return await asyncio.to_thread(socket.gethostbyname, address), int(port)


class Client:
    """Opens connections through the proxy, as the variant says."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng = session, session.rng
        self.variant = str(session.params["variant"])
        self.secure = self.variant.startswith("tls")
        self.login = (word(self.rng), word(self.rng, 6, 14))

    async def open(self, address: str, port: int) -> Streams:
        """A connection to ``address:port`` by way of the proxy."""
        name = server_name(self.rng, self.session.peer["host"])
        streams = await common_net.connect(
            self.session,
            self.session.peer["ports"][1 if self.secure else 0],
            tls=client_context(self.rng) if self.secure else None,
            name=name if self.secure else None,
        )
        try:
            if self.variant == "tls-connect":
                await self._connect(streams, address, port)
            else:
                wants = self.variant == "socks-login" or bool(self.session.params["login"])
                await ask(streams, address, port, login=self.login if wants else None)
        except BaseException:
            streams[1].close()
            raise
        return streams

    async def _connect(self, streams: Streams, address: str, port: int) -> None:
        reader, writer = streams
        lines = [f"CONNECT {address}:{port} HTTP/1.1", f"Host: {address}:{port}"]
        if self.session.params["login"]:
            login = base64.b64encode(":".join(self.login).encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {login}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DIAL_S)
        if b" 200 " not in answer:
            raise PeerError(answer[:60].decode(errors="replace"))


async def act(session: Session) -> None:
    """Carry another activity through the proxy."""
    await carry(session, Client(session).open)


if __name__ == "__main__":
    main(serve, act)
