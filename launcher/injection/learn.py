"""Learning a profile from the conversations of a capture: sizes, turns and times, no contents."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import median_low
from typing import Final, Literal, NamedTuple

from launcher.injection.capture import FIN, RST, SYN, TCP, Conversation, Packet
from launcher.injection.profile import (
    MAX_DATAGRAM_BYTES,
    After,
    Bytes,
    Ends,
    Marks,
    Profile,
    Step,
    Turns,
)
from topologies.errors import InputError, Problem

QUANTILES: Final = 21
OPENING: Final = 8
AGREED: Final = 0.9  # share of the sessions that have the same sender at a place of the opening
MARK_BYTES: Final = 4
MAX_GAP_MS: Final = 600_000.0
MAX_MESSAGE_BYTES: Final = 1_000_000
MAX_MESSAGES: Final = 5_000

Sender = Literal["client", "server"]


class Said(NamedTuple):
    """One message of a session: segments of one TCP write are one."""

    sender: Sender
    size: int
    gap_ms: float


def messages(talk: Conversation) -> list[Said]:
    """The messages of a conversation, resent segments left out."""
    full = max((p.size for p in talk.packets), default=0)
    found: list[Said] = []
    open_ended, last_s, seen = False, 0.0, {True: 0, False: 0}
    sequence: dict[bool, int] = {}
    for packet in talk.packets:
        if not packet.size or (talk.protocol == TCP and _resent(packet, sequence)):
            continue
        sender: Sender = "client" if packet.from_client else "server"
        gap_ms = min(max(packet.at_s - last_s, 0.0) * 1_000, MAX_GAP_MS)
        last_s = packet.at_s
        seen[packet.from_client] += 1
        if open_ended and found[-1].sender == sender and gap_ms < 5:
            size = min(found[-1].size + packet.size, MAX_MESSAGE_BYTES)
            found[-1] = found[-1]._replace(size=size)
        else:
            found.append(Said(sender, packet.size, gap_ms if found else 0.0))
        open_ended = talk.protocol == TCP and packet.size == full and full >= 500
    return found[:MAX_MESSAGES]


def _resent(packet: Packet, sequence: dict[bool, int]) -> bool:
    here = int.from_bytes(packet.header[4:8], "big")
    expected = sequence.get(packet.from_client)
    end = (here + packet.size) & 0xFFFFFFFF
    if expected is not None and 0 < (expected - here) & 0xFFFFFFFF < 1 << 31:
        return True
    sequence[packet.from_client] = end
    return False


def quantiles(values: Iterable[float], count: int = QUANTILES) -> tuple[float, ...]:
    """Evenly spaced quantiles, from the lowest to the highest value, to three decimals."""
    ordered = sorted(values)
    if not ordered:
        return ()
    if ordered[0] == ordered[-1]:
        return (round(ordered[0], 3),)
    found = []
    for number in range(count):
        place = number * (len(ordered) - 1) / (count - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        found.append(round(low + (high - low) * (place - math.floor(place)), 3))
    return tuple(found)


def learn(
    name: str, conversations: Sequence[Conversation], *, source: str, port: int | None = None
) -> Profile:
    """A profile of the conversations with one server port; None is the most frequent one.

    Raises
    ------
    InputError
        No conversation there has a message of the client; ``source`` names the capture.
    """
    chosen = _chosen(conversations, port)
    sessions = [(talk, messages(talk)) for talk in chosen]
    begun = [(talk, _from_client_soon(said)) for talk, said in sessions]
    kept = [(talk, said) for talk, said in begun if said]
    if not kept:
        what = "a conversation" if port is None else f"a conversation with port {port}"
        raise InputError(
            Problem(
                source,
                "",
                f"{what} in which the client sends data",
                "none",
                "choose another port or capture",
            )
        )
    talks, said = [talk for talk, _ in kept], [session for _, session in kept]
    transport: Literal["tcp", "udp"] = "tcp" if talks[0].protocol == TCP else "udp"
    largest = MAX_MESSAGE_BYTES if transport == "tcp" else MAX_DATAGRAM_BYTES
    opening = _opening(said, largest)
    tails = [session[max(len(opening) - 1, 0) :] for session in said]
    return Profile(
        name=name,
        description=f"learned from {len(said)} sessions",
        transport=transport,
        port=talks[0].server_port,
        opening=opening,
        messages=quantiles(float(len(session)) for session in said),
        bytes=_bytes(tails, said, largest),
        turns=_turns(tails),
        after_ms=_after(tails),
        magic=Marks(client=_mark(talks, client=True), server=_mark(talks, client=False)),
        **_manners(talks),
    )


def _chosen(conversations: Sequence[Conversation], port: int | None) -> list[Conversation]:
    with_data = [talk for talk in conversations if any(p.size for p in talk.packets)]
    if port is not None:
        with_data = [talk for talk in with_data if talk.server_port == port]
    counts = Counter((talk.protocol, talk.server_port) for talk in with_data)
    if not counts:
        return []
    wanted = max(sorted(counts), key=lambda key: counts[key])
    return [talk for talk in with_data if (talk.protocol, talk.server_port) == wanted]


def _from_client_soon(said: list[Said]) -> list[Said]:
    """One greeting of the server at most before the client; none if the client says nothing."""
    first = next((i for i, message in enumerate(said) if message.sender == "client"), None)
    return [] if first is None else said[max(first - 1, 0) :]


def _opening(sessions: Sequence[Sequence[Said]], largest: float) -> tuple[Step, ...]:
    steps: list[Step] = []
    for place in range(OPENING):
        here = [session[place] for session in sessions if len(session) > place]
        if place > 1 and len(here) < max(len(sessions) * AGREED, 2):
            break
        if not here:
            break
        sender, count = Counter(message.sender for message in here).most_common(1)[0]
        if count < AGREED * len(here) and place > 0:
            break
        alike = [message for message in here if message.sender == sender]
        sizes = quantiles(min(message.size, largest) for message in alike)
        gaps = quantiles(message.gap_ms for message in alike) if place else (0.0,)
        steps.append(Step(sender=sender, bytes=sizes, after_ms=gaps))
    if all(step.sender == "server" for step in steps[:2]):
        first = [next(m for m in session if m.sender == "client") for session in sessions]
        steps[1:2] = [
            Step(
                sender="client",
                bytes=quantiles(min(m.size, largest) for m in first),
                after_ms=quantiles(m.gap_ms for m in first),
            )
        ]
        steps = steps[:2]
    return tuple(steps)


def _bytes(tails: Sequence[Sequence[Said]], every: Sequence[Sequence[Said]], most: float) -> Bytes:
    def of(sender: str) -> tuple[float, ...]:
        later = [m.size for tail in tails for m in tail[1:] if m.sender == sender]
        # Who speaks in the opening only could speak once more: then as there.
        sizes = later or [m.size for session in every for m in session if m.sender == sender]
        return quantiles(min(size, most) for size in sizes or [1])

    return Bytes(client=of("client"), server=of("server"))


def _turns(tails: Sequence[Sequence[Said]]) -> Turns:
    pairs = Counter((a.sender, b.sender) for tail in tails for a, b in pairwise(tail))

    def client_after(before: str, otherwise: float) -> float:
        total = pairs[before, "client"] + pairs[before, "server"]  # type: ignore[index]
        return round(pairs[before, "client"] / total, 4) if total else otherwise  # type: ignore[index]

    return Turns(
        client_after_client=client_after("client", 0.0),
        client_after_server=client_after("server", 1.0),
    )


def _after(tails: Sequence[Sequence[Said]]) -> After:
    gaps: dict[str, list[float]] = defaultdict(list)
    for tail in tails:
        for before, message in pairwise(tail):
            gaps[f"{before.sender}_{message.sender}"].append(message.gap_ms)
    return After(**{pair: quantiles(values) for pair, values in gaps.items()})


def _mark(talks: Sequence[Conversation], *, client: bool) -> str:
    """The first bytes that all messages of one end share; none where there are few."""
    begins = {
        p.payload[:MARK_BYTES]
        for talk in talks
        for p in talk.packets
        if p.from_client == client and len(p.payload) >= MARK_BYTES
    }
    total = sum(p.from_client == client and p.size > 0 for talk in talks for p in talk.packets)
    if total < 10 or len(talks) < 2 or not begins:
        return ""
    shortest = min(begins)
    same = next(
        (n for n in range(MARK_BYTES, 0, -1) if len({begin[:n] for begin in begins}) == 1), 0
    )
    return shortest[:same].hex() if any(shortest[:same]) else ""


def _manners(talks: Sequence[Conversation]) -> dict[str, object]:
    ttl = median_low(p.ttl for talk in talks for p in talk.packets if p.from_client)
    found: dict[str, object] = {"ttl": next((n for n in (64, 128, 255) if ttl <= n), 64)}
    if talks[0].protocol != TCP:
        return found
    opening = [p for talk in talks for p in talk.packets if p.from_client and p.flags & SYN]
    if opening:
        sizes = [size for size in map(_mss, opening) if size]
        if sizes:
            found["mss_bytes"] = min(max(median_low(sizes), 200), 8_960)
        window = median_low(int.from_bytes(p.header[14:16], "big") for p in opening)
        found["window_bytes"] = max(window, 4_096)
    ends = Counter(filter(None, map(_end, talks)))
    if ends:
        found["end"] = Ends(**{end: float(count) for end, count in {"client": 0, **ends}.items()})
    return found


def _mss(packet: Packet) -> int | None:
    options = packet.header[20:]
    while len(options) >= 2 and options[0]:
        if options[0] == 2 and len(options) >= 4:
            return int.from_bytes(options[2:4], "big")
        options = options[1:] if options[0] == 1 else options[max(options[1], 2) :]
    return None


def _end(talk: Conversation) -> str | None:
    ends: Callable[[Packet], int] = lambda packet: packet.flags & (FIN | RST)  # noqa: E731
    last = next(filter(ends, talk.packets), None)
    if last is None:
        return None
    if last.flags & RST:
        return "reset"
    return "client" if last.from_client else "server"
