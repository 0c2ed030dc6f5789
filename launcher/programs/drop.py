"""The server that an intruder's programs report to: parcels and beacons by DNS, HTTP, HTTPS, ICMP.

It checks what arrives and answers; nothing that it says is a command for a real machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import Any

from common import Service, emit, heavy, main
from common_drop import Store, from_name
from common_syn import checksum
from common_tls import server_contexts

ECHO, ECHO_REPLY = 8, 0
TASK_SHARE = 0.3
YES, NO, NOTED = "ok", "no", "more"


async def serve(service: Service) -> None:
    """Listen for DNS on the first port, HTTP on the second, HTTPS on the third, and for pings."""
    dns_port, http_port, https_port = service.ports
    store = Store()
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(
        lambda: _Names(store, service.rng), local_addr=(service.address, dns_port)
    )
    await _serve_http(service, store, http_port, https_port)
    with contextlib.suppress(PermissionError):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        raw.setblocking(False)
        loop.add_reader(raw, _take_echo, raw, store)
        service.at_end(raw.close)


class _Names(asyncio.DatagramProtocol):
    """DNS: the message is in the name, the answer in the record."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.store, self.rng = store, rng

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        import dnslib

        try:
            asked = dnslib.DNSRecord.parse(data)
            name = str(asked.q.qname)
            done = self.store.take(from_name(name))
        except (dnslib.DNSError, ValueError, struct.error, IndexError) as error:
            emit("dropped", error=str(error)[:80])
            return
        reply = asked.reply()
        reply.add_answer(self._record(name, asked.q.qtype, _word(done)))
        delay_s = min(self.rng.lognormvariate(-6, 0.8), 0.3)
        asyncio.get_running_loop().call_later(delay_s, self.transport.sendto, reply.pack(), addr)
        emit("parcel", transport="dns", bytes=len(data), done=done)

    def _record(self, name: str, kind: int, said: str) -> Any:
        import dnslib

        padding = self.rng.randbytes(heavy(self.rng, 30, 0.8, 4, 110)).hex()
        if kind == dnslib.QTYPE.CNAME:
            return dnslib.RR(name, kind, rdata=dnslib.CNAME(f"{said}.{padding[:60]}.lab"), ttl=1)
        if kind == dnslib.QTYPE.A:
            number = {YES: 1, NO: 2}.get(said, 3)
            return dnslib.RR(name, kind, rdata=dnslib.A(f"198.19.255.{number}"), ttl=1)
        return dnslib.RR(name, kind, rdata=dnslib.TXT([said.encode(), padding.encode()]), ttl=1)


def _word(done: bool | None) -> str:
    return NOTED if done is None else YES if done else NO


async def _serve_http(service: Service, store: Store, http_port: int, https_port: int) -> None:
    from aiohttp import web

    async def answer(asked: Any) -> Any:
        body = await asked.read()
        await asyncio.sleep(min(service.rng.lognormvariate(-5, 0.8), 0.3))
        if asked.path.startswith("/up"):
            try:
                text = _word(store.take(body))
            except ValueError:
                return web.Response(status=400)
        elif asked.method == "POST":
            text = YES  # the result of a task
        elif service.rng.random() < TASK_SHARE:
            text = "task " + service.rng.randbytes(heavy(service.rng, 60, 1.0, 8, 4_000)).hex()
        else:
            text = "rest"
        emit("report", method=asked.method, bytes=len(body), answer=text[:4])
        return web.Response(text=text)

    application = web.Application(client_max_size=4 << 20)
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, service.address, http_port, backlog=256).start()
    for context in server_contexts(service.rng, service.host):
        await web.TCPSite(
            runner, service.address, https_port, ssl_context=context, reuse_port=True
        ).start()


def _take_echo(raw: socket.socket, store: Store) -> None:
    """A ping: the kernel answers it; we take what it carries, and confirm a parcel's end."""
    packet, (address, _) = raw.recvfrom(65_536)
    message = packet[(packet[0] & 15) * 4 :]
    if len(message) < 8 or message[0] != ECHO:
        return
    try:
        done = store.take(message[8:])
    except ValueError:
        return  # somebody's ordinary ping
    emit("parcel", transport="icmp", bytes=len(message), done=done)
    if done is not None:
        body = message[4:8] + _word(done).encode() * 2
        head = struct.pack("!BBH", ECHO_REPLY, 0, 0)
        total = struct.pack("!H", checksum(head + body))
        raw.sendto(head[:2] + total + body, (address, 0))


async def _no_client(_: object) -> None:
    raise SystemExit("this program is a server only")


if __name__ == "__main__":
    main(serve, _no_client)
