"""Hypothesis strategies: datagrams, fragments, other protocols, and several flows at once."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from tests.flowmeter.conftest import START_NS, ethernet
from tests.flowmeter.reference_traffic import (
    GAPS,
    HOSTS,
    LONG_GAPS,
    Timed,
    conversations,
    ip,
    steps_of,
)


@st.composite
def datagrams(draw: st.DrawFn) -> list[Timed]:
    """UDP, ICMP, SCTP and others between two hosts; some in fragments."""
    version = draw(st.sampled_from([4, 4, 6]))
    hosts = draw(st.permutations(HOSTS[version]))[:2]
    protocol = draw(st.sampled_from([17, 17, 17, 1 if version == 4 else 58, 132, 47, 50]))
    ports = draw(st.tuples(st.sampled_from([5000, 5001]), st.sampled_from([53, 443])))
    now_ns, packets = START_NS + draw(st.integers(0, 10**7)) * 1000, []
    gaps = draw(st.sampled_from([GAPS, LONG_GAPS]))
    steps = steps_of(draw, st.tuples(st.integers(0, 1), gaps, st.integers(0, 1400)))
    for number, (who, gap_ns, size) in enumerate(steps):
        now_ns = max(now_ns + gap_ns, START_NS)
        sport, dport = ports if who == 0 else ports[::-1]
        body = bytes(4) + bytes(size)
        if protocol == 17:
            load = draw(st.sampled_from([bytes(size), bytes(size), b"\xc3\0\0\0\1" + bytes(size)]))
            body = struct.pack(">HHHH", sport, dport, 8 + len(load), 0) + load
        elif protocol == 132:
            body = struct.pack(">HHII", sport, dport, 1, 0) + b"\0\0\0" + bytes([4 + size % 9])
        elif protocol in (1, 58):
            body = bytes([8 if protocol == 1 else 128, 0]) + bytes(6 + size)
        source, target = hosts[who], hosts[1 - who]
        cut = draw(st.sampled_from([0, 0, 0, 8, 24, 64])) if len(body) > 100 else 0
        for frame in _whole_or_cut(version, source, target, protocol, body, cut, number):
            packets.append((now_ns, ethernet(frame)))
            now_ns += 1000
    return packets


def _whole_or_cut(  # noqa: PLR0917 - a packet's parts
    version: int, source: bytes, target: bytes, protocol: int, body: bytes, cut: int, number: int
) -> list[bytes]:
    if not cut:
        return [ip(version, source, target, protocol, body, ip_id=number)]
    at = max(cut, 16)
    if version == 4:
        return [
            ip(4, source, target, protocol, body[:at], ip_id=number, fragment=0x2000),
            ip(4, source, target, protocol, body[at:], ip_id=number, fragment=at // 8),
        ]
    heads = [struct.pack(">BBHI", protocol, 0, place, number) for place in (1, at)]
    return [ip(6, source, target, 44, heads[0] + body[:at]),
            ip(6, source, target, 44, heads[1] + body[at:])]  # fmt: skip


@st.composite
def captures(draw: st.DrawFn) -> list[Timed]:
    """A few flows at once, merged by time."""
    flows = draw(st.lists(st.one_of(conversations(), conversations(), datagrams()), min_size=1,
                          max_size=3))  # fmt: skip
    if len(flows) == 1:
        return flows[0]  # time may run backwards
    return sorted((packet for flow in flows for packet in flow), key=lambda packet: packet[0])
