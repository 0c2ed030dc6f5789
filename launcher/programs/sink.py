"""The far end of synthetic sessions and of captures that are replayed; otherwise it discards.

Clients tell in their first bytes (of synthetic sessions) or in their IP headers (of captures) which
of the things it knows is played.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable
from typing import Any

from common import Service, emit, main
from common_exchange import (
    TAG,
    Message,
    Profile,
    content,
    discard,
    ending,
    magic,
    script,
    shape,
    told,
)
from common_net import listen, reset_on_close
from common_packets import Arrived, Conversation, End, Place, Wire, conversations, quiet

PATIENCE_S = 5.0


async def serve(service: Service) -> None:
    """Listen wherever a client may come."""
    items = service.shared.values()
    profiles = [json.loads(item["text"]) for item in items if item["port"] is not None]
    for port in service.ports:
        await listen(service, port, _discard)
    for port in sorted({p["port"] for p in profiles if p["transport"] == "tcp"}):
        known = [p for p in profiles if (p["transport"], p["port"]) == ("tcp", port)]
        await listen(service, port, Streams(service.rng, known).handle)
    for port in sorted({p["port"] for p in profiles if p["transport"] == "udp"}):
        known = [p for p in profiles if (p["transport"], p["port"]) == ("udp", port)]
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda known=known: Datagrams(service.rng, known),  # type: ignore[misc]
            local_addr=(service.address, port),
        )
    captures = {n: item["text"] for n, item in service.shared.items() if item["port"] is None}
    if captures:
        talks = [talk for name, text in captures.items() for talk in conversations(name, text)]
        Captures(service, talks)


async def _discard(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass


class Streams:
    """The server's end of synthetic sessions on one TCP port."""

    def __init__(self, rng: random.Random, profiles: list[Profile]) -> None:
        self._rng, self._profiles = rng, sorted(profiles, key=lambda p: len(p["magic"]["client"]))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet, if that is how sessions begin here; then play what the client announces."""
        shape(writer.get_extra_info("socket"), self._profiles[0])
        greeting = next((p for p in self._profiles if p["opening"][0]["sender"] == "server"), None)
        if greeting is not None:
            said = script(greeting, self._rng.getrandbits(32), 1)[0]
            await asyncio.sleep(said.gap_s)
            writer.write(content(greeting, said._replace(size=min(said.size, 1_200)), self._rng))
        known = await self._announced(reader)
        if known is None:
            return
        profile, seed, messages, begun = known
        first = True
        for message in messages[1 if messages[0].sender == "server" else 0 :]:
            if message.sender == "client":
                await discard(reader, message.size - (begun if first else 0))
                first = False
                continue
            await asyncio.sleep(message.gap_s)
            writer.write(content(profile, message, self._rng))
            await writer.drain()
        await self._end(reader, writer, ending(profile, seed))

    async def _announced(
        self, reader: asyncio.StreamReader
    ) -> tuple[Profile, int, list[Message], int] | None:
        data = b""
        for profile in self._profiles:
            begin = len(magic(profile, "client"))
            data += await reader.readexactly(begin + TAG.size - len(data))
            messages = told(profile, data)
            if messages is not None:
                return profile, TAG.unpack_from(data, begin)[0], messages, len(data)
        return None

    async def _end(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end: str
    ) -> None:
        if end != "server":  # the client closes; who resets is the client as well
            await asyncio.wait_for(reader.read(), PATIENCE_S)
        reset_on_close(writer.get_extra_info("socket"), share=0.0, rng=self._rng)


class Datagrams(asyncio.DatagramProtocol):
    """The server's end of synthetic sessions on one UDP port."""

    def __init__(self, rng: random.Random, profiles: list[Profile]) -> None:
        self._rng, self._profiles = rng, profiles
        self._playing: dict[Any, asyncio.Task[None]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Be as the profile's machines are."""
        self._transport = transport
        shape(transport.get_extra_info("socket"), self._profiles[0])

    def datagram_received(self, data: bytes, address: Any) -> None:
        """The first of a session is its clock's beginning."""
        if address in self._playing:
            return
        for profile in self._profiles:
            messages = told(profile, data)
            if messages is not None:
                task = asyncio.create_task(self._play(profile, messages, address))
                self._playing[address] = task
                task.add_done_callback(lambda _: self._playing.pop(address))
                return

    async def _play(self, profile: Profile, messages: Iterable[Message], address: Any) -> None:
        loop = asyncio.get_running_loop()
        due_s, begun = loop.time(), False
        for message in messages:
            due_s += message.gap_s if begun else 0.0
            begun = True
            await asyncio.sleep(due_s - loop.time())
            if message.sender == "server" and self._transport is not None:
                self._transport.sendto(content(profile, message, self._rng), address)


class Captures:
    """The server's end of the conversations of captures."""

    def __init__(self, service: Service, talks: list[Conversation]) -> None:
        self._address = service.address
        self._talks = {(t.protocol, t.server_port, t.identity): t for t in talks}
        self._ends: dict[tuple[int, Place, int], End] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        places = {(t.protocol, t.server_port) for t in talks}
        self._held = [quiet(protocol, (service.address, port)) for protocol, port in places]
        self._wire = Wire(self._arrived)

    def _arrived(self, packet: Arrived) -> None:
        if packet.target[0] != self._address:
            return
        key = (packet.protocol, packet.source, packet.target[1])
        talk = self._talks.get((packet.protocol, packet.target[1], packet.identity))
        known = self._ends.get(key)
        if talk is not None and (known is None or (known.ended and packet.begins == talk.begins)):
            end = End(talk, self._wire, client=False, own=packet.target, far=packet.source)
            self._ends[key] = end
            task = asyncio.create_task(self._play(key, end))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if key in self._ends:
            self._ends[key].heard()

    async def _play(self, key: tuple[int, Place, int], end: End) -> None:
        try:
            done = await end.play()
            emit("replayed", protocol=key[0], port=key[2], **done)
            await asyncio.sleep(1.0)  # what comes late begins nothing new
        finally:
            if self._ends.get(key) is end:
                del self._ends[key]


async def _no_client(_: object) -> None:
    raise SystemExit("this program is a server only")


if __name__ == "__main__":
    main(serve, _no_client)
