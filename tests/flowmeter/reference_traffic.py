"""Hypothesis strategies: traffic that could be real, with all that goes wrong in real traffic."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from tests.flowmeter.conftest import SECOND_NS, START_NS, ethernet
from tests.flowmeter.reference_packets import ACK, ECE, FIN, PSH, RST, SYN, URG

Timed = tuple[int, bytes]
MS: Final = 10**6
HOSTS: Final = {4: (b"\xc6\x12\x00\x01", b"\xc6\x12\x00\x02", b"\xc6\x12\x01\x03"),
                6: (bytes(15) + b"\x01", b"\x20\x01\x0d\xb8" + bytes(11) + b"\x02",
                    b"\xfe\x80" + bytes(13) + b"\x09")}  # fmt: skip
SHORT: Final = (
    st.integers(0, 3_000).map(lambda us: us * 1000),
    st.integers(1, 60).map(lambda ms: ms * MS),
    st.integers(1, 60).map(lambda ms: ms * MS),
    st.sampled_from([0, 0, 1000, -MS, 90 * MS, 110 * MS, 600 * MS]),
)
GAPS: Final = st.one_of(*SHORT)
LONG_GAPS: Final = st.one_of(
    *SHORT,
    st.sampled_from([1000, 1001, 5000, 5001, 9000, 30_000]).map(lambda ms: ms * MS),
    st.sampled_from([11, 61, 299, 301, 700]).map(lambda s: s * SECOND_NS),
)
SIZES: Final = st.one_of(st.integers(1, 1460), st.sampled_from([1, 23, 24, 1380, 1460, 4000]))
HELLO: Final = bytes([22, 3, 1, 0, 49, 1, 0, 0, 45, 3, 3]) + bytes(40)
SERVER_HELLO: Final = bytes([22, 3, 3, 0, 49, 2, 0, 0, 45, 3, 3]) + bytes(40)
APPLICATION: Final = bytes([23, 3, 3, 0, 30]) + bytes(30)


def ip(version: int, src: bytes, dst: bytes, protocol: int, body: bytes, *, ip_id: int = 7,
       ttl: int = 64, tos: int = 0, fragment: int = 0) -> bytes:  # fmt: skip
    if version == 6:
        return (
            struct.pack(">IHBB", 6 << 28 | tos << 20, len(body), protocol, ttl) + src + dst + body
        )
    head = (0x45, tos, 20 + len(body), ip_id, fragment, ttl, protocol, 0)
    return struct.pack(">BBHHHBBH", *head) + src + dst + body


@dataclass
class End:
    """One end of a TCP connection: what it sent, and what it would send next."""

    host: bytes
    port: int
    isn: int
    ttl: int
    next: int = 0  # offset from the ISN
    got: int = 0  # of the other side, acknowledged
    ids: int = 1
    window: int = 65535
    options: bytes = b""
    sent: list[tuple[int, int, int, int]] = field(default_factory=list)  # offset, size, flags, id


@dataclass
class Talk:
    """A TCP connection being made up, packet by packet."""

    version: int
    ends: tuple[End, End]
    packets: list[Timed] = field(default_factory=list)
    now_ns: int = START_NS

    def send(self, who: int, offset: int, size: int, flags: int, *, again: int | None = None,
             ack: int | None = None, options: bytes = b"", head: bytes = b"",
             tos: int = 0) -> None:  # fmt: skip
        end, peer = self.ends[who], self.ends[1 - who]
        ip_id = end.ids if again is None else again
        end.ids += again is None
        number = (peer.isn + (end.got if ack is None else ack)) % 2**32 if flags & ACK else 0
        options += bytes([1] * (-len(options) % 4))
        header = struct.pack(
            ">HHIIBBHHH", end.port, peer.port, (end.isn + offset) % 2**32, number,
            (5 + len(options) // 4) << 4, flags, end.window, 0, 0,
        )  # fmt: skip
        body = header + options + (head + bytes(size))[:size]
        frame = ip(self.version, end.host, peer.host, 6, body, ip_id=ip_id % 65536, ttl=end.ttl,
                   tos=tos)  # fmt: skip
        self.packets.append((self.now_ns, ethernet(frame)))
        if again is None:
            end.sent.append((offset, size, flags, ip_id))


SYN_OPTIONS: Final = st.lists(
    st.sampled_from([
        b"\x02\x04\x05\xb4", b"\x03\x03\x07", b"\x03\x03\x00", b"\x04\x02", b"\x22\x02",
        b"\x08\x0a" + bytes(8),
    ]),
    max_size=4, unique_by=lambda option: option[0],
).map(b"".join)  # fmt: skip
STEPS: Final = st.sampled_from(
    ["data"] * 8 + ["ack"] * 6 + ["recovery", "repeat", "same_ack", "duplicate", "odd_flags"] * 2
    + ["skip", "partial", "old_ack", "half_ack", "zero", "window", "sack", "probe", "keepalive"]
    + ["fin", "close", "fin_ack", "hello", "odd_flags", "late", "late"]
)  # fmt: skip
RARE: Final = st.sampled_from(["rst", "syn_again", "reuse", "answer_again"])


def steps_of(draw: st.DrawFn, step: st.SearchStrategy[Any]) -> list[Any]:
    size = draw(st.integers(0, 45))
    return draw(st.lists(step, min_size=size, max_size=size))


@st.composite
def conversations(draw: st.DrawFn) -> list[Timed]:
    """A TCP connection, with loss, repetition, disorder and whatever else a network does."""
    version = draw(st.sampled_from([4, 4, 6]))
    hosts = draw(st.permutations(HOSTS[version]))[:2]
    numbers = st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 5000, 2**32 - 1))
    ends = [
        End(host, draw(port), draw(numbers), draw(st.sampled_from([64, 128, 255])))
        for host, port in zip(
            hosts, (st.sampled_from([40000, 40001, 65535]), st.sampled_from([443, 80])), strict=True
        )
    ]
    talk = Talk(version, (ends[0], ends[1]))
    talk.now_ns += draw(st.integers(0, 10**7)) * 1000
    if draw(st.integers(0, 9)):
        _handshake(draw, talk)
    else:  # joined midway
        for end in talk.ends:
            end.next = end.got = draw(st.integers(1, 3000))
    steps = steps_of(
        draw, st.tuples(STEPS, st.integers(0, 1), draw(st.sampled_from([GAPS, GAPS, LONG_GAPS])))
    )
    if not draw(st.integers(0, 3)):
        steps.insert(draw(st.integers(0, len(steps))), (draw(RARE), draw(st.integers(0, 1)), MS))
    for kind, who, gap_ns in steps:
        talk.now_ns = max(talk.now_ns + gap_ns, START_NS)
        _step(draw, talk, kind, who)
    return talk.packets


def _handshake(draw: st.DrawFn, talk: Talk) -> None:
    client, server = talk.ends
    client.options, server.options = draw(SYN_OPTIONS), draw(SYN_OPTIONS)
    talk.send(0, 0, 0, SYN, options=client.options)
    client.next = 1
    if not draw(st.integers(0, 5)):
        talk.now_ns += draw(st.sampled_from([MS, 1000 * MS]))
        talk.send(0, 0, 0, SYN, options=client.options)
    if not draw(st.integers(0, 9)):
        return  # nobody answers
    talk.now_ns += draw(st.integers(0, 80)) * MS
    server.got = 1
    talk.send(1, 0, 0, SYN | ACK, options=server.options)
    server.next = client.got = 1
    talk.now_ns += draw(st.integers(0, 80)) * MS
    talk.send(0, 1, 0, ACK)


def _step(draw: st.DrawFn, talk: Talk, kind: str, who: int) -> None:
    end, peer = talk.ends[who], talk.ends[1 - who]
    for kinds, action in ACTIONS:
        if kind in kinds:
            action(draw, talk, kind, who)
            return
    if kind == "skip":  # lost before the capture, or still under way
        end.next += draw(SIZES)
    elif kind == "probe" and peer.window == 0:
        talk.send(who, end.next - 1, 1, ACK)
    elif kind == "keepalive":
        talk.send(who, end.next - 1, draw(st.integers(0, 1)), ACK)
    elif kind == "rst":
        talk.send(who, end.next, 0, draw(st.sampled_from([RST, RST | ACK])))
    elif kind in ("zero", "window"):
        end.window = 0 if kind == "zero" else draw(st.integers(1, 65535))
        talk.send(who, end.next, 0, ACK)


def _data(draw: st.DrawFn, talk: Talk, kind: str, who: int) -> None:
    end = talk.ends[who]
    if kind == "late":
        if end.next > 1:
            begin = draw(st.integers(max(end.next - 6000, 1), end.next - 1))
            talk.send(who, begin, draw(st.integers(1, end.next - begin)), ACK)
        return
    head = draw(st.sampled_from([HELLO, SERVER_HELLO, APPLICATION])) if kind == "hello" else b""
    size = len(head) + 20 if head else draw(SIZES)
    extra = draw(st.sampled_from([PSH | URG, ECE, 128, PSH])) if kind == "odd_flags" else 0
    talk.send(who, end.next, size, ACK | extra, head=head, tos=draw(st.sampled_from([0, 32])))
    end.next += size


def _closing(draw: st.DrawFn, talk: Talk, kind: str, who: int) -> None:
    end, peer = talk.ends[who], talk.ends[1 - who]
    if kind == "fin":
        talk.send(who, end.next, 0, FIN | ACK)
        end.next += 1
        return
    if kind == "close":
        for side in (who, 1 - who):
            talk.ends[side].got = talk.ends[1 - side].next
            talk.send(side, talk.ends[side].next, 0, FIN | ACK)
            talk.ends[side].next += 1
    end.got = peer.next
    talk.send(who, end.next, 0, ACK)


def _recovery(draw: st.DrawFn, talk: Talk, kind: str, who: int) -> None:
    """A segment is lost; the acknowledgements of the one before it repeat until it comes again."""
    end, peer = talk.ends[who], talk.ends[1 - who]
    for lost in (False, draw(st.booleans()), False, False):
        if not lost:
            talk.send(who, end.next, 1000, ACK)
        end.next += 1000
    peer.got = max(peer.got, end.next - 3000)
    for _ in range(draw(st.integers(1, 5))):
        talk.now_ns += draw(st.sampled_from([0, MS, 20 * MS]))
        talk.send(1 - who, peer.next, 0, ACK)
    talk.now_ns += draw(st.sampled_from([MS, 20 * MS, 400 * MS]))
    talk.send(who, end.next - 3000, 1000, ACK)
    if draw(st.booleans()):
        peer.got = end.next
        talk.send(1 - who, peer.next, 0, ACK)


def _again(draw: st.DrawFn, talk: Talk, kind: str, who: int) -> None:
    if not talk.ends[who].sent:
        return
    offset, size, flags, ip_id = draw(st.sampled_from(talk.ends[who].sent))
    if kind == "duplicate":
        talk.send(who, offset, size, flags, again=ip_id)
    elif kind == "repeat":
        talk.send(who, offset, size, flags)
    else:  # other borders than before
        begin = max(offset + draw(st.integers(-100, 100)), 1)
        talk.send(who, begin, draw(st.integers(1, 3000)), ACK)
        talk.ends[who].next = max(talk.ends[who].next, begin + talk.ends[who].sent[-1][1])


def _ack(draw: st.DrawFn, talk: Talk, kind: str, who: int) -> None:
    end, peer = talk.ends[who], talk.ends[1 - who]
    if kind == "ack" and peer.sent:
        offset, size, flags, _ = draw(st.sampled_from(peer.sent[-4:]))
        spans = size + bool(flags & SYN) + bool(flags & FIN)
        end.got = max(end.got, offset + spans)
    elif kind == "half_ack" and peer.next > end.got:
        end.got = draw(st.integers(end.got, peer.next))
    options = b""
    if kind == "sack":
        options = b"\x01\x01\x05\x0a" + struct.pack(
            ">II", (peer.isn + end.got + 100) % 2**32, (peer.isn + end.got + 200) % 2**32
        )
    ack = max(end.got - draw(st.integers(1, 2000)), 1) if kind == "old_ack" else None
    talk.send(who, end.next, 0, ACK, ack=ack, options=options)


def _opening(draw: st.DrawFn, talk: Talk, kind: str, who: int) -> None:
    end, peer = talk.ends[who], talk.ends[1 - who]
    if kind == "reuse":
        end.isn, peer.isn = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**32 - 1))
        for each in talk.ends:
            each.sent.clear()
            each.next, each.got = 1, 1
        talk.send(who, 0, 0, SYN, options=end.options)
        if draw(st.booleans()):
            talk.send(1 - who, 0, 0, SYN | ACK, options=peer.options)
    elif kind == "syn_again":
        talk.send(who, 0, 0, SYN, options=end.options)
    else:
        talk.send(who, 0, 0, SYN | ACK, options=end.options)


ACTIONS: Final = (
    (("data", "odd_flags", "hello", "late"), _data),
    (("repeat", "duplicate", "partial"), _again),
    (("ack", "old_ack", "half_ack", "same_ack", "sack"), _ack),
    (("fin", "fin_ack", "close"), _closing),
    (("recovery",), _recovery),
    (("syn_again", "reuse", "answer_again"), _opening),
)
