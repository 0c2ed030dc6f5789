"""Quake III's network protocol: messages without a connection, and the numbered stream of a game.

Bodies of game packets are compressed and scrambled in the real thing; here they are bytes of the
same sizes that carry nothing.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

from common import PeerError, noise

OUT_OF_BAND = b"\xff\xff\xff\xff"
FRAGMENT = 0x8000_0000
FRAGMENT_BYTES = 1_300
PROTOCOL = 68


def out_of_band(*words: str) -> bytes:
    """A message outside of a game: its command, and lines that belong to it."""
    return OUT_OF_BAND + "\n".join(words).encode("latin-1")


def parse_out_of_band(packet: bytes) -> tuple[str, list[str]] | None:
    """Command and lines of a message outside of a game; None if it is a game's packet."""
    if not packet.startswith(OUT_OF_BAND):
        return None
    first, *lines = packet[4:].decode("latin-1").split("\n")
    command, _, rest = first.partition(" ")
    return command, [rest, *lines] if rest else lines


def info(**values: object) -> str:
    """Settings as the protocol writes them: ``\\name\\value`` pairs."""
    return "".join(f"\\{name}\\{value}" for name, value in values.items())


def parse_info(text: str) -> dict[str, str]:
    """The pairs of an `info` text."""
    parts = text.strip('"').split("\\")[1:]
    return dict(zip(parts[::2], parts[1::2], strict=False))


@dataclass
class Channel:
    """One side of a numbered stream; ``port`` is the number that a client puts into its packets."""

    port: int | None = None
    sent: int = 0
    received: int = 0
    lost: int = 0
    received_bytes: int = 0
    _parts: bytearray = field(default_factory=bytearray)

    def packets(self, body: bytes) -> list[bytes]:
        """The packets of the next message; a long one is cut into fragments."""
        self.sent += 1
        tail = b"" if self.port is None else struct.pack("<H", self.port)
        body = struct.pack("<I", self.received) + body
        if len(body) < FRAGMENT_BYTES:
            return [struct.pack("<I", self.sent) + tail + body]
        head = struct.pack("<I", self.sent | FRAGMENT) + tail
        # A last fragment of full size would look like one with more to come.
        cuts = range(0, len(body) + (len(body) % FRAGMENT_BYTES == 0), FRAGMENT_BYTES)
        parts = [(start, body[start : start + FRAGMENT_BYTES]) for start in cuts]
        return [head + struct.pack("<HH", start, len(part)) + part for start, part in parts]

    def take(self, packet: bytes, *, from_client: bool) -> int | None:
        """Take a packet of the other side; the message's size once it is whole, else None."""
        skip = 6 if from_client else 4
        if len(packet) < skip:
            raise PeerError("a packet too short for a game")
        (number,) = struct.unpack_from("<I", packet)
        rest = packet[skip:]
        self.received_bytes += len(packet)
        if number & FRAGMENT:
            number &= ~FRAGMENT
            start, length = struct.unpack_from("<HH", rest)
            if start != len(self._parts):
                self._parts.clear()  # a fragment was lost, so the message is
                return None
            self._parts += rest[4 : 4 + length]
            if length == FRAGMENT_BYTES:
                return None
            rest = bytes(self._parts)
            self._parts.clear()
        if number <= self.received:
            return None  # late or twice
        self.lost += number - self.received - 1
        self.received = number
        return len(rest) - 4


class Scene:
    """How much goes on around a player: calm, sometimes a fight; sets the sizes of packets."""

    def __init__(self, rng: random.Random, *, others: int, busy: float) -> None:
        self.rng, self.others, self.busy = rng, others, busy
        self.action = 0.3

    def step(self) -> None:
        """A moment passes."""
        if self.rng.random() < 0.01 * self.busy:
            self.action = self.rng.uniform(0.8, 1.6)  # somebody comes round the corner
        pull = 0.3 - self.action
        self.action = max(self.action + 0.03 * pull + self.rng.gauss(0, 0.03), 0.02)

    def snapshot(self) -> bytes:
        """The changes since the last one: the player's own state, and what moved nearby."""
        seen = sum(self.rng.random() < 0.25 + 0.5 * self.action for _ in range(self.others))
        size = 14 + self.rng.randrange(10) + sum(self.rng.randint(6, 24) for _ in range(seen))
        size += int(self.action * self.rng.expovariate(1 / 20))
        return b"".join(noise(min(size, 1_250)))

    def command(self, repeats: int) -> bytes:
        """What the player does; the last few commands go along in case one was lost."""
        size = 9 + repeats * (3 + int(self.rng.random() < self.action) * self.rng.randint(2, 7))
        return b"".join(noise(size))
