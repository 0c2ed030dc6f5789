"""A small made-up capture, replayed where no file is given: three conversations with data."""

from __future__ import annotations

import struct
from typing import Final

from launcher.injection.capture import ACK, FIN, SYN, TCP, UDP, Conversation, Packet

PORT: Final = 7_070
_PSH: Final = 0x08
_MSS: Final = bytes.fromhex("020405b4")


def sample() -> tuple[Conversation, ...]:
    """Two TCP conversations and one over UDP, all with port 7070 of the server."""
    return (
        _stream(40_001, 0.0, ((True, 180), (False, 1_200), (False, 700), (True, 90), (False, 60))),
        _stream(40_002, 0.4, ((True, 420), (False, 40), (True, 420), (False, 40))),
        Conversation(
            UDP,
            40_003,
            PORT,
            0.2,
            tuple(
                Packet(number % 2 == 0, 0.03 * number, b"", 60 + 7 * number, b"", 64)
                for number in range(12)
            ),
        ),
    )


def _stream(port: int, start_s: float, said: tuple[tuple[bool, int], ...]) -> Conversation:
    """A whole TCP connection: handshake, data each with its acknowledgement, and both FINs."""
    following = {True: 1_000 * port, False: 77_000_000}
    packets: list[Packet] = []

    def add(*, client: bool, flags: int, size: int = 0, options: bytes = b"") -> None:
        sequence, acknowledged = following[client], following[not client]
        header = struct.pack(
            "!HHIIBBHHH",
            *((port, PORT) if client else (PORT, port)),
            sequence,
            acknowledged if flags & ACK else 0,
            (20 + len(options)) << 2,
            flags,
            64_240,
            0,
            0,
        )
        at_s = 0.02 * len(packets)
        packets.append(Packet(client, at_s, header + options, size, b"", 64))
        following[client] += size + bool(flags & (SYN | FIN))

    add(client=True, flags=SYN, options=_MSS)
    add(client=False, flags=SYN | ACK, options=_MSS)
    add(client=True, flags=ACK)
    for client, size in said:
        add(client=client, flags=_PSH | ACK, size=size)
        add(client=not client, flags=ACK)
    add(client=True, flags=FIN | ACK)
    add(client=False, flags=FIN | ACK)
    add(client=True, flags=ACK)
    return Conversation(TCP, port, PORT, start_s, tuple(packets))
