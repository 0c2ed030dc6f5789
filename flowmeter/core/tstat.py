"""When flows begin and end by Tstat's rules (``semantics='tstat'``), to compare with it.

Tstat looks for idle flows only when a flow begins, and then in as many of the ten thousand parts of
its table as 500 us have passed since it last looked: all of them once 5 s have. So a flow that is
idle lives on, and takes what packets still come, until other flows begin.
"""

from __future__ import annotations

import numpy as np

from flowmeter.core.jit import helper
from flowmeter.core.layout import (
    C2S,
    FRESH,
    LATER_FRAGMENT,
    OUTSIDE,
    S2C,
    SAME,
    Indexed,
    Int,
    Record,
    Slots,
)
from flowmeter.core.wheel import link

TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 1, 2, 4, 16
PARTS = 10_000
PART_US = 500  # one part in this time
NS_PER_US = 1000


@helper
def verdict(flows: Indexed, sides: Indexed, slot: Int, packet: Record) -> Int:
    """Whether the packet belongs to the flow of its key, to none, or a flow begins with it."""
    if packet.fragment == LATER_FRAGMENT or packet.beyond < 0:
        return OUTSIDE
    packet.payload_bytes += packet.beyond  # Tstat believes what the headers claim
    packet.beyond = 0
    if slot < 0 or flows[slot].closed:
        opens = packet.protocol == UDP
        if packet.protocol == TCP:
            opens = packet.flags & (SYN | ACK) == SYN
        return FRESH if opens else OUTSIDE
    flow = flows[slot]
    unanswered = flow.client_low == packet.from_low and sides[slot, S2C].syn == 0
    data = packet.payload_bytes > 0 and packet.flags & SYN == 0
    if packet.protocol == TCP and unanswered and data:
        flow.closed = 1
        # The packet does not count, but its time and its flags do.
        flow.last_ns = max(packet.time_ns, flow.first_ns)
        sides[slot, C2S].fin += packet.flags & FIN
        sides[slot, C2S].rst += (packet.flags & RST) >> 2
        return OUTSIDE
    return SAME


@helper
def enlist(wheel: Slots, flows: Indexed, cursor: Record, slot: Int, protocol: Int) -> None:
    """Give a new flow its part of the table. They are dealt out in turn, TCP and UDP apart."""
    flow = flows[slot]
    if protocol == TCP:
        cursor.tcp_flows += 1  # the first one has number 1, of UDP 0
        flow.part = cursor.tcp_flows % PARTS
    else:
        flow.part = cursor.udp_flows % PARTS
        cursor.udp_flows += 1
    link(wheel, flows, slot, np.int64(flow.part) % len(wheel))


@helper
def begin_scan(cursor: Record, now_ns: Int, verdict: Int) -> None:
    """Say which parts are to be looked at if a flow begins now."""
    now_us = now_ns // NS_PER_US
    if cursor.scanned_us == 0:
        cursor.scanned_us = now_us
    passed_us = now_us - cursor.scanned_us
    if verdict == FRESH and passed_us > PART_US:
        cursor.parts = -(-passed_us // PART_US)
        cursor.parts_left = min(cursor.parts, PARTS)
        cursor.scanned_us = now_us


@helper
def next_idle(  # noqa: PLR0917 - compiled
    wheel: Slots, flows: Indexed, sides: Indexed, cursor: Record, limits: Record, now_ns: Int
) -> Int:
    """An idle flow in the parts that are left to look at; -1: there is none left."""
    while cursor.parts_left > 0:
        part = np.int64(cursor.part)
        slot = np.int64(wheel[part % len(wheel)])
        while slot >= 0:
            flow = flows[slot]
            here = flow.part == part
            if here and _idle(flow, sides[slot, 0], sides[slot, 1], limits, now_ns):
                return slot
            slot = np.int64(flow.wheel_next)
        cursor.part = (part + 1) % PARTS
        cursor.parts_left -= 1
        cursor.parts -= 1
    cursor.part = (cursor.part + cursor.parts) % PARTS  # whole rounds change nothing
    cursor.parts = 0
    return np.int64(-1)


@helper
def _idle(flow: Record, first: Record, second: Record, limits: Record, now_ns: Int) -> Int:
    """Whether no packet came for too long: for less long if there was but one, or SYNs only."""
    silence_ns = (now_ns // NS_PER_US - flow.last_ns // NS_PER_US) * NS_PER_US
    if np.int64(flow.tag >> np.uint64(32)) & 255 == UDP:
        alone = flow.packets == 1
        longest_ns = np.int64(limits.udp_idle_ns)
    else:
        alone = (first.syn == 0) != (second.syn == 0) and flow.packets == first.syn + second.syn
        longest_ns = np.int64(limits.tcp_idle_ns)
    limit_ns = min(limits.single_ns, longest_ns) if alone else longest_ns
    return flow.closed == 1 or silence_ns > limit_ns
