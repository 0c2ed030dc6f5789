"""A capture's conversations played again, as the end that opened them; the other is ``sink.py``."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from common import PeerError, Session, emit, main
from common_log import all_told, connection
from common_packets import TCP, Arrived, Conversation, End, Place, Wire, conversations, quiet


class Replay:
    """The conversations that a session plays."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.target = str(session.peer["address"])
        if ":" in self.target:
            raise PeerError("captures are replayed over IPv4")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self.target, 9))
            self.own = str(probe.getsockname()[0])
        self.ends: dict[tuple[int, Place, int], End] = {}
        self.wire = Wire(self._arrived)

    def _arrived(self, packet: Arrived) -> None:
        end = self.ends.get((packet.protocol, packet.source, packet.target[1]))
        if end is not None:
            end.heard()

    async def play(self, talk: Conversation, wait_s: float) -> int:
        """Play one conversation; how many packets of the other end came."""
        await asyncio.sleep(wait_s)
        with contextlib.closing(_held(talk, self.own)) as port:
            own, far = (self.own, port.getsockname()[1]), (self.target, talk.server_port)
            end = End(talk, self.wire, client=True, own=own, far=far)
            self.ends[talk.protocol, far, own[1]] = end
            connection("tcp" if talk.protocol == TCP else "udp", own, far)
            done = await end.play()
            await asyncio.sleep(0.1)  # what was sent twice still comes; nobody shall answer it
            del self.ends[talk.protocol, far, own[1]]
        emit("replayed", protocol=talk.protocol, port=talk.server_port, **done)
        return end.received


def _held(talk: Conversation, own: str) -> socket.socket:
    """The client's port, if it is free, or another."""
    try:
        return quiet(talk.protocol, (own, talk.client_port))
    except OSError:
        return quiet(talk.protocol, (own, 0))


async def act(session: Session) -> None:
    """Replay as the variant says: all together, one alone, or one after the other."""
    variant = str(session.params["variant"])
    talks = conversations(str(session.params["shared"]), session.shared)
    if variant == "single":
        talks = [talks[int(session.params["pick"]) % len(talks)]]
    replay = Replay(session)
    delay_s = float(session.params["delay_s"])
    try:
        if variant == "together":
            starts = [talk.start_s + delay_s for talk in talks]
            plays = [replay.play(talk, wait) for talk, wait in zip(talks, starts, strict=True)]
            answers = sum(await asyncio.gather(*plays))
        else:
            answers = sum([await replay.play(talk, delay_s) for talk in talks])
    finally:
        replay.wire.close()
    all_told("tcp", "udp")
    if not answers and any(not p.from_client for talk in talks for p in talk.packets):
        raise PeerError("nothing came back")


if __name__ == "__main__":
    main(None, act)
