"""A worm's search for hosts: the lab's own addresses tried on one port, at a bounded rate.

Whoever answers is "infected" by a line of text and nothing else; there is no code to spread.
"""

from __future__ import annotations

import asyncio
import random
import socket
from ipaddress import IPv4Address, IPv4Network

from common import FAILURES, Session, begun, emit, main, word
from common_lab import LAB
from common_log import all_told

MAX_RATE_S, MAX_TRIES = 60.0, 600
ANSWER_S = 1.0


class Worm:
    """Where it looks, and whom it reached."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.address = str(session.peer["address"])
        self.near = IPv4Network(f"{self.address}/24", strict=False)
        self.port = self.rng.choice(session.peer["ports"])
        self.tries = min(int(self.params["tries"]), MAX_TRIES)
        self.reached: set[str] = set()
        self.tried = 0

    def targets(self) -> list[str]:
        """Addresses in the order of the worm's kind; the real target somewhere among them."""
        if self.params["variant"] == "sequential":
            begin = int(self.near.network_address) + self.rng.randrange(1, 200)
            chosen = [begin + number for number in range(self.tries)]
        elif self.params["variant"] == "local":  # mostly its own neighbourhood
            chosen = [self._pick(self.near if self.rng.random() < 0.8 else LAB)
                      for _ in range(self.tries)]  # fmt: skip
        else:
            chosen = [self._pick(LAB) for _ in range(self.tries)]
        names = [socket.inet_ntoa(number.to_bytes(4, "big")) for number in chosen]
        inside = [name for name in names if IPv4Address(name) in LAB]
        inside.insert(self.rng.randrange(len(inside) // 2 + 1), self.address)
        return inside

    def _pick(self, network: IPv4Network) -> int:
        return int(network.network_address) + self.rng.randrange(1, network.num_addresses - 1)

    async def spread(self) -> None:
        """Try one address after the other, several at a time."""
        rate_s = min(float(self.params["rate_s"]), MAX_RATE_S)
        tasks = []
        for address in self.targets():
            tasks.append(asyncio.create_task(self._try(address)))
            if not await self.session.sleep(self.rng.expovariate(rate_s)):
                break
        await asyncio.gather(*tasks)

    async def _try(self, address: str) -> None:
        self.tried += 1
        begun()
        writer = None
        try:
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(address, self.port), ANSWER_S
            )
            writer.write(_greeting(self.rng))
            await asyncio.wait_for(writer.drain(), ANSWER_S)
            await asyncio.sleep(self.rng.uniform(0.05, 0.3))
            self.reached.add(address)
            emit("reached", address=address)
        except FAILURES:
            return
        finally:
            if writer is not None:
                writer.close()


def _greeting(rng: random.Random) -> bytes:
    """Harmless bytes in the place of an exploit."""
    return f"{word(rng)} {rng.randbytes(rng.choice((40, 200, 376, 700))).hex()}\r\n\r\n".encode()


async def act(session: Session) -> None:
    """Look for hosts; the effect is that one was reached."""
    worm = Worm(session)
    all_told("tcp", "udp")  # all its sockets are this program's own
    try:
        await worm.spread()
    finally:
        emit("effect", success=bool(worm.reached), reached=len(worm.reached), tried=worm.tried)


if __name__ == "__main__":
    main(None, act)
