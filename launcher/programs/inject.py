"""Synthetic sessions of protocols that nothing here speaks: sizes, directions and times alone.

The far end is ``sink.py``. Both play the same messages over sockets of the kernel, so that loss and
delay of the lab's networks act on them as on everything else.
"""

from __future__ import annotations

import asyncio
import json
import socket

import common_net
from common import PeerError, Session, begun, emit, main
from common_exchange import Message, Profile, content, discard, ending, script, shape, tag

ANSWER_S = 3.0


class Player:
    """The client's end of one synthetic session."""

    def __init__(self, session: Session, profile: Profile) -> None:
        self.session, self.profile, self.rng = session, profile, session.rng
        self.seed = session.rng.getrandbits(32)
        messages = script(profile, self.seed, int(session.params["messages"]))
        self.messages = _in_time(messages, session.left_s() - 0.3)
        self.sent = self.received = 0

    def data(self, message: Message) -> bytes:
        """What is sent next; the first says what will follow."""
        head = b"" if self.sent else tag(self.profile, self.seed, len(self.messages))
        self.sent += 1
        return content(self.profile, message, self.rng, head)

    async def stream(self) -> None:
        """Over TCP: each message follows the one before, whoever sent that."""
        sock = socket.socket(common_net.family(self.session.peer["address"]), socket.SOCK_STREAM)
        shape(sock, self.profile)
        sock.setblocking(False)
        place = (self.session.peer["address"], self.session.port)
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, place), 10)
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            for number, message in enumerate(self.messages):
                if message.sender == "client":
                    await asyncio.sleep(message.gap_s)
                    writer.write(self.data(message))
                    await writer.drain()
                elif self.sent:
                    await discard(reader, message.size)
                    self.received += message.size
                else:  # a greeting, of the server's own draw
                    self.received += len(await reader.read(65_536))
                if number == len(self.messages) - 1:
                    await self._end(reader, writer)
        finally:
            writer.close()

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = ending(self.profile, self.seed)
        if end == "reset":
            share = 1.0
            common_net.reset_on_close(writer.get_extra_info("socket"), share=share, rng=self.rng)
        elif end == "server":
            await asyncio.wait_for(reader.read(), ANSWER_S)

    async def datagrams(self) -> None:
        """Over UDP: each end by its own clock, from the first datagram on."""
        loop, player = asyncio.get_running_loop(), self

        class Heard(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, _: object) -> None:
                player.received += len(data)

        place = (self.session.peer["address"], self.session.port)
        transport, _ = await loop.create_datagram_endpoint(Heard, remote_addr=place)
        shape(transport.get_extra_info("socket"), self.profile)
        try:
            due_s = loop.time()
            for message in self.messages:
                due_s += message.gap_s
                await asyncio.sleep(due_s - loop.time())
                if message.sender == "client":
                    transport.sendto(self.data(message))
            await asyncio.sleep(0.2)
        finally:
            transport.close()


def _in_time(messages: list[Message], left_s: float) -> list[Message]:
    """As many as there is time for; the first at least."""
    due_s, kept = 0.0, 0
    for message in messages:
        due_s += message.gap_s
        if due_s > left_s:
            break
        kept += 1
    begins = next(i for i, m in enumerate(messages) if m.sender == "client") + 1
    return messages[: max(kept, begins)]


async def act(session: Session) -> None:
    """Play some synthetic sessions, one after the other."""
    profile: Profile = json.loads(session.shared)
    for number in range(int(session.params["sessions"])):
        if number and not await session.pause():
            return
        player = Player(session, profile)
        begun()
        await (player.stream() if profile["transport"] == "tcp" else player.datagrams())
        emit("injected", messages=len(player.messages), sent=player.sent, received=player.received)
        if not player.received and any(m.sender == "server" for m in player.messages):
            raise PeerError("the sink did not answer")


if __name__ == "__main__":
    main(None, act)
