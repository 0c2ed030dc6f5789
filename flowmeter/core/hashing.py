"""The hash table that finds a packet's flow: open addressing, linear probing."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import Indexed, Int, Integers, Record
from flowmeter.core.store import Store

MASK32 = 0xFFFFFFFF
LOWER = np.uint64(0x7FFFFFFF)


@helper
def entry(slot: Int, key: Any) -> Int:
    """What the table holds for a flow: the lower 31 bits of its key's hash, then its slot.

    So the rows of others, which are likely in no cache, are hardly ever looked at.
    """
    return np.int64(key & LOWER) << 32 | slot


@helper
def slot_of(found: Int) -> Int:
    """The slot in an entry of the table; -1 in an empty one."""
    return found & MASK32 if found >= 0 else np.int64(-1)


@helper
def home(table: Integers, key: Any) -> Int:
    """Where in the table a flow whose key has this hash would best be."""
    return np.int64(key & LOWER) & np.int64(len(table) - 1)


@helper
def shard_of(packet: Record, shards: Int) -> Int:
    """Which of the shards the packet's flow falls to, by the upper bits of its hash."""
    return np.int64(packet.hash >> np.uint64(40)) * shards >> 24


@helper
def find(table: Integers, flows: Indexed, packet: Record) -> Int:
    """The table position of the packet's key, or the empty one where it belongs."""
    mask = np.int64(len(table) - 1)
    lower = np.int64(packet.hash & LOWER)
    place = lower & mask
    while table[place] >= 0:
        if table[place] >> 32 == lower:
            flow = flows[table[place] & MASK32]
            if flow.hash == packet.hash and flow.tag == packet.tag:
                low = flow.low_lo == packet.low_lo and flow.low_hi == packet.low_hi
                if low and flow.high_lo == packet.high_lo and flow.high_hi == packet.high_hi:
                    return place
        place = (place + 1) & mask
    return place


@helper
def forget(table: Integers, flows: Indexed, slot: Int) -> None:
    """Take a flow out of the hash table."""
    mask = np.int64(len(table) - 1)
    mine = entry(slot, flows[slot].hash)
    place = mine >> 32 & mask
    while table[place] != mine:
        place = (place + 1) & mask
    # Close the gap, so that no chain of positions is broken (Knuth, vol. 3, 6.4, algorithm R).
    following = (place + 1) & mask
    while table[following] >= 0:
        home = table[following] >> 32 & mask
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
            mine = entry(slot, store.flows[slot].hash)
            place = mine >> 32 & mask
            while store.table[place] >= 0:
                place = (place + 1) & mask
            store.table[place] = mine
