"""The server's side of a proxy: SOCKS 5 (RFC 1928, 1929) and HTTP CONNECT, told apart by a byte."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct

from common import PeerError, emit
from common_inside import relay
from common_lab import LAB
from common_socks import CONNECT, IPV4, LOGIN, NO_LOGIN, SOCKS

DOMAIN, NONE = 3, 0xFF
DIAL_S = 5.0


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
