"""RTP and RTCP for the lab programs: headers, codecs' rhythms, and speech that has pauses."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from common import PeerError

HEADER = struct.Struct(">BBHII")
SEQUENCES, TICKS = 1 << 16, 1 << 32
_EPOCH_S = 2_208_988_800  # from 1900 to 1970


@dataclass(frozen=True)
class Codec:
    """A voice codec as SDP names it: payload type, clock, and the bytes of one packet."""

    name: str
    payload_type: int
    clock_hz: int
    packet_ms: int
    low_bytes: int
    high_bytes: int

    @property
    def ticks(self) -> int:
        """What the time stamp moves by, from packet to packet."""
        return self.clock_hz * self.packet_ms // 1_000

    def payload(self, rng: random.Random) -> bytes:
        """A packet's bytes; of a fixed size, or as the codec needs them."""
        if self.low_bytes == self.high_bytes:
            return rng.randbytes(self.low_bytes)
        middle = (self.low_bytes + self.high_bytes) / 2
        size = int(rng.gauss(middle, (self.high_bytes - self.low_bytes) / 5))
        return rng.randbytes(min(max(size, self.low_bytes), self.high_bytes))


CODECS = {
    "pcmu": Codec("PCMU", 0, 8_000, 20, 160, 160),
    "pcma": Codec("PCMA", 8, 8_000, 20, 160, 160),
    "pcma-30": Codec("PCMA", 8, 8_000, 30, 240, 240),
    "gsm": Codec("GSM", 3, 8_000, 20, 33, 33),
    "g722": Codec("G722", 9, 8_000, 20, 160, 160),
    "g729": Codec("G729", 18, 8_000, 20, 20, 20),
    "ilbc": Codec("iLBC", 97, 8_000, 30, 50, 50),
    "opus": Codec("opus", 111, 48_000, 20, 30, 120),
    "amr": Codec("AMR-WB", 96, 16_000, 20, 24, 61),
}
QUIET_TYPE = 13  # comfort noise


@dataclass
class Sender:
    """One direction's packets."""

    rng: random.Random
    codec: Codec
    silence: bool = False
    sent: int = 0
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self.source = self.rng.getrandbits(32)
        self.sequence = self.rng.getrandbits(16)
        self.stamp = self.rng.getrandbits(32)
        self._speech = self._talk()

    def packet(self) -> bytes | None:
        """The next packet; None where silence is not sent."""
        speaking, first = next(self._speech)
        self.stamp = (self.stamp + self.codec.ticks) % TICKS
        if speaking:
            return self._build(self.codec.payload_type, self.codec.payload(self.rng), first=first)
        if first:
            return self._build(QUIET_TYPE, self.rng.randbytes(self.rng.choice((1, 1, 11))))
        return None

    def _build(self, kind: int, payload: bytes, *, first: bool = False) -> bytes:
        self.sequence = (self.sequence + 1) % SEQUENCES
        self.sent, self.sent_bytes = self.sent + 1, self.sent_bytes + len(payload)
        marked = kind | (0x80 if first else 0)
        return HEADER.pack(0x80, marked, self.sequence, self.stamp, self.source) + payload

    def _talk(self) -> Iterator[tuple[bool, bool]]:
        """Whether somebody speaks, packet by packet, and whether that has just changed."""
        if not self.silence:
            yield True, True
            while True:
                yield True, False
        while True:
            for speaking, mean_s in ((True, 1.2), (False, 1.6)):
                count = int(self.rng.expovariate(1 / mean_s) * 1_000 / self.codec.packet_ms)
                for number in range(max(count, 1)):
                    yield speaking, number == 0

    def report(self, now_s: float, *, of: int = 0, lost: int = 0, highest: int = 0) -> bytes:
        """A sender report with one reception block, and the sender's name."""
        seconds = int(now_s) + _EPOCH_S
        fraction = int(now_s % 1 * (1 << 32))
        head = struct.pack(">BBHI", 0x81, 200, 12, self.source)
        info = struct.pack(
            ">IIIII", seconds % TICKS, fraction, self.stamp, self.sent, self.sent_bytes
        )
        block = struct.pack(">IIIIII", of, lost & 0xFFFFFF, highest, 0, 0, 0)
        name = b"\x01\x08" + f"{self.source:08x}".encode()
        name += b"\0" * (4 - len(name) % 4)
        words = (4 + len(name)) // 4
        return head + info + block + struct.pack(">BBHI", 0x81, 202, words, self.source) + name


def parse(packet: bytes) -> tuple[int, int, int, int]:
    """Payload type, sequence number, time stamp and source of a packet.

    Raises
    ------
    PeerError
        It is no RTP.
    """
    if len(packet) < HEADER.size or packet[0] >> 6 != 2:
        raise PeerError("no RTP packet")
    _, kind, sequence, stamp, source = HEADER.unpack_from(packet)
    return kind & 0x7F, sequence, stamp, source


def is_control(packet: bytes) -> bool:
    """Whether a packet is RTCP's, by its type."""
    return len(packet) > 1 and 200 <= packet[1] <= 204
