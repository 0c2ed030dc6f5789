"""gRPC: unary calls, streams of the server, of the client and of both, plain and over TLS.

Methods take and give bytes of JSON, so that no generated code is needed.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_net import TLS_PORTS, port_of
from common_pem import authority_pem, pair
from common_site import prose
from grpc import aio

PACKAGE = "lab.Catalogue"


class Catalogue(grpc.GenericRpcHandler):  # type: ignore[misc]  # published without types
    """The service's four methods."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def service(self, details: Any) -> Any:
        """The handler of a method, by its name."""
        methods = {
            "Get": grpc.unary_unary_rpc_method_handler(self.get),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch),
            "Send": grpc.stream_unary_rpc_method_handler(self.send),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
        }
        return methods.get(details.method.rpartition("/")[2])

    async def get(self, asked: bytes, _: Any) -> bytes:
        """One record."""
        await asyncio.sleep(min(self.rng.lognormvariate(-5, 1.0), 0.6))
        return self._reply("Get", asked)

    async def watch(self, asked: bytes, _: Any) -> AsyncIterator[bytes]:
        """As many records as are wanted, at the pace that is wanted."""
        wish = json.loads(asked)
        for _number in range(min(int(wish.get("count", 5)), 500)):
            yield self._reply("Watch", asked)
            await asyncio.sleep(self.rng.expovariate(1 / max(float(wish["pause_s"]), 0.001)))

    async def send(self, items: AsyncIterator[bytes], _: Any) -> bytes:
        """Take records and say how many there were."""
        sizes = [len(item) async for item in items]
        emit("call", method="Send", messages=len(sizes), body_bytes=sum(sizes))
        return json.dumps({"got": len(sizes), "bytes": sum(sizes)}).encode()

    async def talk(self, items: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        """An answer to each record."""
        async for item in items:
            yield self._reply("Talk", item)

    def _reply(self, method: str, asked: bytes) -> bytes:
        size = min(int(json.loads(asked).get("bytes", 200)), 500_000)
        reply = json.dumps({"name": word(self.rng), "text": prose(self.rng, size)}).encode()
        emit("call", method=method, body_bytes=len(asked), reply_bytes=len(reply))
        return reply


async def serve(service: Service) -> None:
    """Serve over TLS on the TLS ports, plain on the others."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Catalogue(service.rng),))
    for port in service.ports:
        place = f"{service.address}:{port}"
        if port in TLS_PORTS:
            own = pair(service.rng, service.host, service.address)
            server.add_secure_port(place, grpc.ssl_server_credentials([own]))
        else:
            server.add_insecure_port(place)
    await server.start()
    _servers.append(server)


_servers: list[Any] = []  # one that nobody holds stops listening


class User:
    """One client of the service."""

    def __init__(self, session: Session, channel: Any) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.channel = channel
        token = self.rng.randbytes(self.rng.choice((16, 32, 200))).hex()
        self.metadata = (("authorization", token), ("x-client", word(self.rng)))

    def wish(self, number: int) -> bytes:
        """What is asked for, or sent."""
        wish = {
            "id": number,
            "bytes": heavy(self.rng, float(self.params.get("reply_bytes", 800)), 1.2, 10, 400_000),
            "count": int(self.params.get("messages", 8)),
            "pause_s": float(self.params.get("pause_s", 0.1)),
            "text": prose(
                self.rng, heavy(self.rng, float(self.params["sent_bytes"]), 1, 5, 99_000)
            ),
        }
        return json.dumps(wish).encode()

    async def items(self, most: int) -> AsyncIterator[bytes]:
        """Records to send, at a pace."""
        for number in range(most):
            if number and not await self.session.sleep(
                self.rng.expovariate(1 / float(self.params.get("pause_s", 0.1)))
            ):
                return
            yield self.wish(number)

    async def call(self, variant: str, number: int) -> None:
        """One call, whatever its kind."""
        keywords = {"metadata": self.metadata, "timeout": max(self.session.left_s() - 0.3, 0.2)}
        begun()
        most, got = int(self.params.get("messages", 8)), 0
        if variant == "unary":
            got = len(
                await self.channel.unary_unary(f"/{PACKAGE}/Get")(self.wish(number), **keywords)
            )
        elif variant == "watch":
            stream = self.channel.unary_stream(f"/{PACKAGE}/Watch")(self.wish(number), **keywords)
            got = sum([len(item) async for item in stream])
        elif variant == "send":
            method = self.channel.stream_unary(f"/{PACKAGE}/Send")
            got = len(await method(self.items(most), **keywords))
        else:
            stream = self.channel.stream_stream(f"/{PACKAGE}/Talk")(self.items(most), **keywords)
            got = sum([len(item) async for item in stream])
        emit("call", method=variant, reply_bytes=got)


async def act(session: Session) -> None:
    """Call, action by action; some calls go out several at once."""
    port = port_of(session, secure=bool(session.params.get("tls", True)))
    name = f"{word(session.rng)}.{session.peer['host']}.lab"
    place = f"{session.peer['address']}:{port}"
    options: list[tuple[str, int | str]]
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    if port in TLS_PORTS:
        options.append(("grpc.ssl_target_name_override", name))
        trust = grpc.ssl_channel_credentials(authority_pem())
        channel = aio.secure_channel(place, trust, options=options)
    else:
        options.append(("grpc.default_authority", name))
        channel = aio.insecure_channel(place, options=options)
    await _use(session, channel)


async def _use(session: Session, channel: Any) -> None:
    variant, at_once = str(session.params["variant"]), int(session.params.get("at_once", 1))
    try:
        async with channel:
            user = User(session, channel)
            for action in range(int(session.params.get("actions", 5))):
                if action and not await session.pause():
                    return
                calls = [user.call(variant, action) for _ in range(at_once)]
                await asyncio.gather(*calls)
    except aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise PeerError(f"{error.code()}: {error.details()}") from error


if __name__ == "__main__":
    main(serve, act)
