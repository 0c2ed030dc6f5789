"""What travels between an intruder's programs and the server that they report to.

A parcel is a made-up file cut into numbered pieces. The last message says how many there are and
their checksum; the server's answer to it is whether it has them all.
"""

from __future__ import annotations

import base64
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

ZONE = "drop.lab"
LABEL = 63
LAST = 0xFFFF  # as a piece's number: this is the end of the parcel
HEAD = struct.Struct("!IH")
END = struct.Struct("!HI")
MOST_PIECES, MOST_PARCELS = 4_000, 500


@dataclass
class Parcel:
    """Pieces that have come in, by number."""

    pieces: dict[int, bytes] = field(default_factory=dict)

    def whole(self, count: int, checksum: int) -> bool:
        """Whether all of them are here."""
        have = [self.pieces.get(number) for number in range(count)]
        return None not in have and zlib.crc32(b"".join(p for p in have if p)) == checksum


class Store:
    """The server's parcels."""

    def __init__(self) -> None:
        self.parcels: dict[int, Parcel] = {}

    def take(self, message: bytes) -> bool | None:
        """Take a message; for a last one, whether the parcel is whole, else None.

        Raises
        ------
        ValueError
            It is none of ours.
        """
        if len(message) < HEAD.size:
            raise ValueError("too short")
        name, number = HEAD.unpack(message[: HEAD.size])
        body = message[HEAD.size :]
        if number != LAST:
            if len(self.parcels) >= MOST_PARCELS:
                self.parcels.pop(next(iter(self.parcels)))
            self.parcels.setdefault(name, Parcel()).pieces[number] = body
            return None
        if len(body) < END.size:
            raise ValueError("too short")
        return self.parcels.get(name, Parcel()).whole(*END.unpack(body[: END.size]))


def messages(rng: random.Random, size: int, piece: int) -> Iterator[bytes]:
    """A made-up file of ``size`` bytes as messages of up to ``piece`` of them, and the last one."""
    data, name = rng.randbytes(size), rng.getrandbits(32)
    pieces = [data[at : at + piece] for at in range(0, size, piece)][:MOST_PIECES]
    for number, part in enumerate(pieces):
        yield HEAD.pack(name, number) + part
    yield HEAD.pack(name, LAST) + END.pack(len(pieces), zlib.crc32(b"".join(pieces)))


def to_name(message: bytes) -> str:
    """A message as a name in the zone, RFC 4648 base 32 in labels of at most 63 letters."""
    text = base64.b32encode(message).decode().rstrip("=").lower()
    labels = [text[at : at + LABEL] for at in range(0, len(text), LABEL)]
    return ".".join([*labels, ZONE])


def from_name(name: str) -> bytes:
    """The message in a name.

    Raises
    ------
    ValueError
        It is no name of the zone, or no base 32.
    """
    text, zone = name.rstrip(".").lower(), f".{ZONE}"
    if not text.endswith(zone):
        raise ValueError("another zone")
    letters = text[: -len(zone)].replace(".", "").upper()
    return base64.b32decode(letters + "=" * (-len(letters) % 8))
