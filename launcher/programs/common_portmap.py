"""The port mapper of Sun RPC (RFC 1833): programs of a host register there, clients ask it.

Versions 2 (port mapper) and 3 and 4 (rpcbind), over UDP and TCP. It keeps what programs of its own
host register in memory, and takes no registration from another.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, NamedTuple

from common import emit

PORT = 111
PROGRAM = 100_000
VERSIONS = (2, 3, 4)
PROTOCOLS = {6: "tcp", 17: "udp"}
NULL, SET, UNSET, GET, DUMP, GET_VERSION = 0, 1, 2, 3, 4, 9
LAST = 1 << 31
MOST_BYTES = 4_096
_SUCCESS, _NO_PROGRAM, _NO_VERSION, _NO_PROCEDURE, _GARBAGE = range(5)


class Registration(NamedTuple):
    """Where a version of a program is served."""

    program: int
    version: int
    protocol: str
    port: int


class Reader:
    """Reads XDR; `struct.error` when there is less than asked for."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self) -> int:
        """An unsigned number."""
        (value,) = struct.unpack_from(">I", self.data, self.at)
        self.at += 4
        return int(value)

    def opaque(self) -> bytes:
        """Bytes with their length before them."""
        size = self.number()
        if size > len(self.data) - self.at:
            raise struct.error("an opaque that is longer than its message")
        value = self.data[self.at : self.at + size]
        self.at += -(-size // 4) * 4
        return value


def numbers(*values: int) -> bytes:
    """Unsigned numbers as XDR."""
    return struct.pack(f">{len(values)}I", *values)


def text(value: str) -> bytes:
    """A string as XDR."""
    data = value.encode()
    return numbers(len(data)) + data + bytes(-len(data) % 4)


def universal(address: str, port: int) -> str:
    """An address and a port as rpcbind writes them."""
    return f"{address}.{port >> 8}.{port & 255}"


class PortMapper:
    """Answers calls; ``address`` is what it tells of programs that are served on every address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.known = [Registration(PROGRAM, 2, name, PORT) for name in PROTOCOLS.values()]

    def reply(self, call: bytes, *, local: bool) -> bytes | None:
        """The reply to a call; None to what is none."""
        reader = Reader(call)
        try:
            xid, kind, rpc, program, version, procedure = (reader.number() for _ in range(6))
            for _ in ("credentials", "verifier"):
                reader.number()
                reader.opaque()
        except struct.error:
            return None
        if kind != 0 or rpc != 2:
            return None
        if program != PROGRAM:
            said = numbers(_NO_PROGRAM)
        elif version not in VERSIONS:
            said = numbers(_NO_VERSION, min(VERSIONS), max(VERSIONS))
        else:
            said = self._result(reader, version, procedure, local=local)
        return numbers(xid, 1, 0, 0, 0) + said

    def _result(self, reader: Reader, version: int, procedure: int, *, local: bool) -> bytes:
        if procedure in (NULL, DUMP):
            return numbers(_SUCCESS) + (self._dump(version) if procedure else b"")
        if procedure not in (SET, UNSET, GET) and (procedure, version) != (GET_VERSION, 4):
            return numbers(_NO_PROCEDURE)
        try:
            asked = _mapping(reader) if version == 2 else _binding(reader)
        except (struct.error, ValueError):
            return numbers(_GARBAGE)
        if procedure == SET:
            return numbers(_SUCCESS, int(local and self._set(asked)))
        if procedure == UNSET:
            return numbers(_SUCCESS, int(local and self._unset(asked, every=version > 2)))
        port = self.port_of(asked, exact=procedure == GET_VERSION)
        emit("portmap", program=asked.program, version=asked.version, port=port)
        place = universal(self.address, port) if port else ""
        return numbers(_SUCCESS) + (numbers(port) if version == 2 else text(place))

    def port_of(self, asked: Registration, *, exact: bool = False) -> int:
        """Where a program is served: in the version asked for, or in any; 0 is nowhere."""
        same = [r for r in self.known if (r.program, r.protocol) == (asked.program, asked.protocol)]
        fitting = [r for r in same if r.version == asked.version]
        found = fitting if fitting or exact else same
        return found[0].port if found else 0

    def _set(self, new: Registration) -> bool:
        if any(old[:3] == new[:3] and old.port != new.port for old in self.known):
            return False
        if new not in self.known:
            self.known.append(new)
        return True

    def _unset(self, gone: Registration, *, every: bool) -> bool:
        kept = [
            old
            for old in self.known
            if old[:2] != gone[:2] or (every and gone.protocol and old.protocol != gone.protocol)
        ]
        removed, self.known = len(kept) < len(self.known), kept
        return removed

    def _dump(self, version: int) -> bytes:
        codes = {name: code for code, name in PROTOCOLS.items()}
        items = [
            numbers(1, r.program, r.version, codes[r.protocol], r.port)
            if version == 2
            else numbers(1, r.program, r.version)
            + text(r.protocol)
            + text(universal(self.address, r.port))
            + text("superuser")
            for r in self.known
        ]
        return b"".join(items) + numbers(0)


def _mapping(reader: Reader) -> Registration:
    """What version 2 calls with."""
    program, version, protocol, port = (reader.number() for _ in range(4))
    return Registration(program, version, PROTOCOLS.get(protocol, ""), port)


def _binding(reader: Reader) -> Registration:
    """What versions 3 and 4 call with."""
    program, version = reader.number(), reader.number()
    network, address = reader.opaque().decode(), reader.opaque().decode()
    reader.opaque()
    high, low = (int(part) for part in address.split(".")[-2:]) if address else (0, 0)
    return Registration(program, version, network.removesuffix("6"), high << 8 | low)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, mapper: PortMapper) -> None:
        self.mapper = mapper
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = self.mapper.reply(data, local=_is_local(addr[0], self.mapper.address))
        if reply is not None:
            self.transport.sendto(reply, addr)


def _is_local(address: str, own: str) -> bool:
    return address in ("::1", own) or address.startswith("127.")


async def start_port_mapper(address: str) -> PortMapper:
    """Serve on this address, and on the loopback's, where the host's own programs register."""
    mapper = PortMapper(address)
    loop = asyncio.get_running_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        local = _is_local(writer.get_extra_info("peername")[0], address)
        try:
            while True:
                mark = int.from_bytes(await reader.readexactly(4))
                call = await reader.readexactly(min(mark & ~LAST, MOST_BYTES))
                reply = mapper.reply(call, local=local)
                if reply is None or not mark & LAST:
                    return
                writer.write(numbers(LAST | len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            return  # the other side has gone
        finally:
            writer.close()

    for place in (address, "127.0.0.1", "::1"):
        try:
            await asyncio.start_server(serve, place, PORT)
            await loop.create_datagram_endpoint(
                lambda: _Datagrams(mapper), local_addr=(place, PORT)
            )
        except OSError:
            if place != "::1":  # which a host without IPv6 lacks
                raise
    return mapper
