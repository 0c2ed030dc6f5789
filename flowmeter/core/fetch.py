"""Asking for memory before it is needed.

Flows lie anywhere in memory, and no cache holds many of them. So what a block of packets will look
at is asked for all at once, and comes while the packets before are still at work.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from flowmeter.core.hashing import home, slot_of
from flowmeter.core.jit import helper
from flowmeter.core.layout import LINE_BYTES, Indexed, Int, Integers, Record, Records
from flowmeter.core.prefetch import prefetch
from flowmeter.core.store import Store

BLOCK_PACKETS: Final = 32
TCP = 6
FLOW_LINES, SIDE_LINES = 3, 5  # of their records, the first ones are used for every packet
RTT_LINE = 5  # of a side: what the other one's acknowledgements write


@helper
def fetch_flows(  # noqa: C901 - compiled
    store: Store, packets: Records, work: Integers, begin: Int, end: Int
) -> None:
    """Ask for what `flowmeter.core.track` will use of the flows of some packets."""
    table, flows, sides = store.table, store.flows, store.sides
    for task in range(begin, end):
        if work[task] >= 0:
            prefetch(table, home(table, packets[work[task]].hash) * 8)
    for task in range(begin, end):
        slot = _likely_slot(table, packets, work[task])
        if slot >= 0:
            for line in range(FLOW_LINES):
                prefetch(flows[slot], line * LINE_BYTES)
    for task in range(begin, end):
        slot = _likely_slot(table, packets, work[task])
        if slot >= 0:
            _fetch_sides(flows[slot], sides, slot, packets[work[task]])
            at = np.int64(flows[slot].packets)
            if at < store.words.shape[1]:
                _fetch_sequences(store.words, store.gaps, store.payloads, slot, at)
    for task in range(begin, end):
        slot = _likely_slot(table, packets, work[task])
        if slot >= 0:
            _fetch_segments(sides, store.segments, slot)


@helper
def _likely_slot(table: Integers, packets: Indexed, index: Int) -> Int:
    """Where the packet's flow most likely is; -1: nowhere yet, or there is no packet."""
    return slot_of(table[home(table, packets[index].hash)]) if index >= 0 else np.int64(-1)


@helper
def _fetch_sides(flow: Record, sides: Indexed, slot: Int, packet: Record) -> None:
    direction = np.int64(flow.client_low != packet.from_low)
    for line in range(SIDE_LINES):
        prefetch(sides[slot, direction], line * LINE_BYTES)
    other = sides[slot, 1 - direction]
    prefetch(other, 0)
    if packet.protocol == TCP:
        prefetch(other, RTT_LINE * LINE_BYTES)


@helper
def _fetch_sequences(words: Indexed, gaps: Indexed, payloads: Indexed, slot: Int, at: Int) -> None:
    place = (slot * words.shape[1] + at) * 4
    prefetch(words, place)
    prefetch(gaps, place)
    prefetch(payloads, slot * payloads.shape[1] * 4)


@helper
def _fetch_segments(sides: Indexed, segments: Indexed, slot: Int) -> None:
    for direction in range(2):
        if sides[slot, direction].segments > 0:
            prefetch(segments[sides[slot, direction].tail], 0)
