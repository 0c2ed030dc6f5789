"""Synthetic sessions from a profile: which messages are exchanged, and what is in them.

Both ends draw the same messages from the same number, which travels, with how many there will be,
in the first bytes that the client sends: they are filler anyway, and look like it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

TAG = struct.Struct("!IHH")
MAX_BYTES = {"tcp": 1_000_000, "udp": 1_472}
MAX_MESSAGES = 5_000
Profile = dict[str, Any]


class Message(NamedTuple):
    """Who sends how much, how long after the message before."""

    sender: str  # client or server
    size: int
    gap_s: float


def quantile(rng: random.Random, values: Sequence[float]) -> float:
    """A draw from a distribution told by its evenly spaced quantiles, lowest to highest."""
    place = rng.random() * (len(values) - 1)
    index = min(int(place), len(values) - 1)
    above = values[min(index + 1, len(values) - 1)]
    return float(values[index] + (above - values[index]) * (place - index))


def magic(profile: Profile, sender: str) -> bytes:
    """What every message of one end begins with."""
    return bytes.fromhex(profile["magic"][sender])


def script(profile: Profile, seed: int, limit: int = MAX_MESSAGES) -> list[Message]:
    """The messages of one session; a lower limit gives the beginning of the same."""
    rng, opening = random.Random(seed), profile["opening"]
    count = max(round(quantile(rng, profile["messages"])), len(opening))
    messages: list[Message] = []
    for number in range(min(count, limit, MAX_MESSAGES)):
        if number < len(opening):
            step = opening[number]
            sender, sizes, gaps = step["sender"], step["bytes"], step["after_ms"]
        else:
            before = messages[-1].sender
            turn = rng.random() < profile["turns"][f"client_after_{before}"]
            sender = "client" if turn else "server"
            sizes, gaps = profile["bytes"][sender], profile["after_ms"][f"{before}_{sender}"]
        first = sender == "client" and all(m.sender == "server" for m in messages)
        least = len(magic(profile, "client")) + TAG.size if first else 1
        size = min(max(round(quantile(rng, sizes)), least), MAX_BYTES[profile["transport"]])
        messages.append(Message(sender, size, quantile(rng, gaps) / 1_000))
    return messages


def tag(profile: Profile, seed: int, count: int) -> bytes:
    """The client's first filler: what the server draws the same messages from."""
    low, high = seed & 0xFFFF, seed >> 16
    return TAG.pack(seed, (zlib.crc32(profile["name"].encode()) & 0xFFFF) ^ low, count ^ high)


def told(profile: Profile, data: bytes) -> list[Message] | None:
    """The messages that a client's first bytes announce; None if they are not of this profile."""
    begin = magic(profile, "client")
    if len(data) < len(begin) + TAG.size or not data.startswith(begin):
        return None
    seed, name, count = TAG.unpack_from(data, len(begin))
    if name ^ (seed & 0xFFFF) != zlib.crc32(profile["name"].encode()) & 0xFFFF:
        return None
    return script(profile, seed, count ^ (seed >> 16))


def content(profile: Profile, message: Message, rng: random.Random, head: bytes = b"") -> bytes:
    """A message: the protocol's magic, then noise."""
    begin = (magic(profile, message.sender) + head)[: message.size]
    return begin + rng.randbytes(message.size - len(begin))


def ending(profile: Profile, seed: int) -> str:
    """Who ends a TCP session and how: client, server or reset."""
    ends: dict[str, float] = profile["end"]
    names = sorted(ends)
    return random.Random(seed ^ 0x5EED).choices(names, [ends[name] for name in names])[0]


def shape(sock: socket.socket, profile: Profile) -> None:
    """Make a socket send as the profile's machines do."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, profile["ttl"])
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, profile["ttl"])
    if profile["transport"] == "tcp":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, profile["mss_bytes"])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, profile["window_bytes"])


async def discard(reader: asyncio.StreamReader, size: int) -> None:
    """Read so many bytes."""
    while size > 0:
        block = await reader.readexactly(min(size, 32_768))
        size -= len(block)
