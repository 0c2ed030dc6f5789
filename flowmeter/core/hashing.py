"""The hash table that finds a packet's flow: open addressing, linear probing."""

from __future__ import annotations

import numpy as np

from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import Indexed, Int, Record, Slots
from flowmeter.core.store import Store


@helper
def find(table: Slots, flows: Indexed, packet: Record) -> Int:
    """The table position of the packet's key, or the empty one where it belongs."""
    mask = np.int64(len(table) - 1)
    place = np.int64(packet.hash & np.uint64(mask))
    while table[place] >= 0:
        flow = flows[table[place]]
        if flow.hash == packet.hash and flow.tag == packet.tag:
            low = flow.low_lo == packet.low_lo and flow.low_hi == packet.low_hi
            if low and flow.high_lo == packet.high_lo and flow.high_hi == packet.high_hi:
                return place
        place = (place + 1) & mask
    return place


@helper
def forget(table: Slots, flows: Indexed, slot: Int) -> None:
    """Take a flow out of the hash table."""
    mask = np.int64(len(table) - 1)
    place = np.int64(flows[slot].hash & np.uint64(mask))
    while table[place] != slot:
        place = (place + 1) & mask
    # Close the gap, so that no chain of positions is broken (Knuth, vol. 3, 6.4, algorithm R).
    following = (place + 1) & mask
    while table[following] >= 0:
        home = np.int64(flows[table[following]].hash & np.uint64(mask))
        if (following - home) & mask >= (following - place) & mask:
            table[place] = table[following]
            place = following
        following = (following + 1) & mask
    table[place] = -1


@compiled
def rebuild(store: Store) -> None:
    """Fill the hash table anew."""
    mask = np.int64(len(store.table) - 1)
    for slot in range(len(store.flows)):
        if store.flows[slot].used:
            place = np.int64(store.flows[slot].hash & np.uint64(mask))
            while store.table[place] >= 0:
                place = (place + 1) & mask
            store.table[place] = slot
