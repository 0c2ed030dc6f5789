"""DNS over UDP, and over TCP where an answer is too long or the client prefers it.

The zone is made up from the name that is asked: the same name has the same answer for everybody.
"""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING, Any

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_dns import answer

if TYPE_CHECKING:
    pass

TYPES = (
    "A",
    "A",
    "A",
    "A",
    "A",
    "AAAA",
    "AAAA",
    "AAAA",
    "TXT",
    "MX",
    "PTR",
    "SRV",
    "NS",
    "HTTPS",
    "SOA",
)
IDLE_S = 30.0
PLAIN_UDP_BYTES = 512
TRIES = 3


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP side of the server."""

    def __init__(self, salt: int) -> None:
        self.salt = salt

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            reply, delay_s, name = answer(data, self.salt, PLAIN_UDP_BYTES)
        except PeerError as error:
            emit("dropped", error=str(error)[:80])
            return
        asyncio.get_running_loop().call_later(delay_s, self.transport.sendto, reply, addr)
        emit("query", name=name[:80], transport="udp", reply_bytes=len(reply))


async def serve(service: Service) -> None:
    """Answer on UDP and TCP on every port."""
    salt = service.rng.getrandbits(32)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (query := await asyncio.wait_for(_read_framed(reader), IDLE_S)) is not None:
            reply, delay_s, name = answer(query, salt, None)
            await asyncio.sleep(delay_s)
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
            emit("query", name=name[:80], transport="tcp", reply_bytes=len(reply))

    loop = asyncio.get_running_loop()
    for port in service.ports:
        await common_net.listen(service, port, handler)
        await loop.create_datagram_endpoint(
            lambda: _Datagrams(salt), local_addr=(service.address, port)
        )


async def _read_framed(reader: asyncio.StreamReader) -> bytes | None:
    try:
        length = struct.unpack("!H", await reader.readexactly(2))[0]
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    return await reader.readexactly(length)


class _Waiter(asyncio.DatagramProtocol):
    """The UDP side of the client: hands replies to the queries that wait for them, by id."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[bytes]] = {}

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        future = self.waiting.pop(struct.unpack("!H", data[:2])[0], None)
        if future is not None and not future.done():
            future.set_result(data)


class Resolver:
    """A stub resolver: on one socket or on a new one per query, by UDP or TCP."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng = session, session.rng
        self.place = (session.peer["address"], session.port)
        self._socket: tuple[Any, _Waiter] | None = None
        self._tcp: common_net.Streams | None = None
        self.edns = self.rng.choice((None, None, 1_232, 1_232, 4_096))
        self.padding = self.rng.random() < 0.25

    def query(self, name: str, kind: str) -> bytes:
        """A query as this kind of resolver writes it."""
        from dnslib import EDNS0, DNSRecord, EDNSOption

        record = DNSRecord.question(name, kind)
        record.header.id = self.rng.getrandbits(16)
        if self.edns:
            options = [EDNSOption(10, self.rng.randbytes(8))] if self.rng.random() < 0.5 else []
            if self.padding:
                options.append(EDNSOption(12, bytes(self.rng.randrange(4, 120))))
            record.add_ar(EDNS0(udp_len=self.edns, opts=options))
        return bytes(record.pack())

    async def ask(self, name: str, kind: str, *, tcp: bool = False, reuse: bool = False) -> None:
        """Ask, by TCP (again) when the answer does not fit a datagram."""
        from dnslib import DNSError, DNSRecord

        query = self.query(name, kind)
        data = await (self.by_tcp(query, keep=True) if tcp else self.by_udp(query, reuse=reuse))
        if not tcp and data[2] & 2:
            data = await self.by_tcp(query, keep=False)
        try:
            reply = DNSRecord.parse(data)
        except DNSError as error:
            raise PeerError(str(error)) from error
        emit("answer", name=name, type=kind, rcode=reply.header.rcode, bytes=len(data))

    async def by_udp(self, query: bytes, *, reuse: bool) -> bytes:
        """Send a datagram and wait, some times over, for its answer."""
        loop = asyncio.get_running_loop()
        transport, waiter = self._socket or await loop.create_datagram_endpoint(
            _Waiter, remote_addr=self.place
        )
        if reuse:
            self._socket = (transport, waiter)
        number = struct.unpack("!H", query[:2])[0]
        try:
            for _ in range(TRIES):
                future = waiter.waiting[number] = loop.create_future()
                transport.sendto(query)
                done, _ = await asyncio.wait([future], timeout=1.5)
                if done:
                    return bytes(future.result())
            raise PeerError("no answer")
        finally:
            if not reuse:
                transport.close()

    async def by_tcp(self, query: bytes, *, keep: bool) -> bytes:
        """Ask over TCP, on a connection that stays for more or for this alone."""
        streams = self._tcp or await common_net.connect(self.session, self.session.port)
        reader, writer = streams
        if keep:
            self._tcp = streams
        try:
            writer.write(struct.pack("!H", len(query)) + query)
            data = await asyncio.wait_for(_read_framed(reader), 5)
            if data is None:
                raise EOFError("the server closed the connection")
            return data
        finally:
            if not keep:
                await common_net.disconnect(writer, self.rng)

    async def hang_up(self) -> None:
        """Close the TCP connection, if there is one."""
        if self._tcp is not None:
            (_, writer), self._tcp = self._tcp, None
            await common_net.disconnect(writer, self.rng)

    async def close(self) -> None:
        """Close what is open."""
        await self.hang_up()
        if self._socket is not None:
            self._socket[0].close()


def a_name(rng: random.Random) -> str:
    """A name to ask for: mostly short, some of them the long ones that services generate."""
    labels = [word(rng, 2, 16) for _ in range(rng.choice((1, 1, 2, 2, 2, 3, 5)))]
    if rng.random() < 0.15:
        labels.insert(0, rng.randbytes(rng.randint(4, 30)).hex())
    return ".".join([*labels, "lab"])


async def act(session: Session) -> None:
    """Resolve names as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    resolver, rng, variant = Resolver(session), session.rng, session.params.get("variant", "stub")
    try:
        for action in range(int(session.params.get("actions", 8))):
            if action and not await session.pause():
                break
            if variant == "tcp" and rng.random() < 0.5:
                await resolver.hang_up()
            await _one(resolver, str(variant))
    finally:
        await resolver.close()


async def _one(resolver: Resolver, variant: str) -> None:
    rng, name = resolver.rng, a_name(resolver.rng)
    kind = rng.choice([kind for kind in TYPES if kind != "HTTPS"])
    if variant == "burst":  # what a page needs: several names, both address families at once
        names = [a_name(rng) for _ in range(heavy(rng, 3, 0.7, 1, 12))]
        await asyncio.gather(
            *(resolver.ask(n, k, reuse=True) for n in names for k in ("A", "AAAA"))
        )
    elif variant == "tcp":
        for _ in range(heavy(rng, 2, 0.8, 1, 12)):
            await resolver.ask(a_name(rng), kind, tcp=True)
    elif variant == "records":  # mail and policy checkers: long answers
        await resolver.ask(name, rng.choice(("TXT", "TXT", "MX", "SRV", "NS", "SOA")))
    else:
        await resolver.ask(name, kind, reuse=variant == "shared")


if __name__ == "__main__":
    main(serve, act)
