"""Deals a batch of packets out to the shards, and says when the clock turns.

A shard so goes straight from one of its packets to the next. If it looked at all packets instead,
it would guess wrong at every other one whether that is its own.
"""

from __future__ import annotations

from flowmeter.core.hashing import shard_of
from flowmeter.core.jit import compiled
from flowmeter.core.layout import Int, Integers, Records
from flowmeter.core.store import TICK_NS, Store


@compiled
def deal(  # noqa: PLR0917 - compiled
    store: Store, packets: Records, shard: Int, shards: Int, rejects: Integers, work: Integers
) -> Int:
    """List what a shard has to do with a batch of packets; how much it is.

    Parameters
    ----------
    rejects
        Where packets in no flow are counted, by the first shard.
    work
        int64, at least two for each packet. Filled with places in ``packets`` that are the shard's,
        and where the clock has come to another second, with the complement (below 0) of that.
    """
    cursor = store.cursor[0]
    clock_ns, turn_ns = cursor.clock_ns, cursor.turn_ns
    count = 0
    for index in range(len(packets)):
        packet = packets[index]
        if packet.reject != 0:
            rejects[packet.reject] += shard == 0
            continue
        now_ns = min(packet.time_ns, clock_ns)  # one wild time stamp ends nothing
        clock_ns = packet.time_ns
        if now_ns >= turn_ns:
            turn_ns = (now_ns // TICK_NS + 1) * TICK_NS
            work[count] = ~(now_ns // TICK_NS)
            count += 1
        # Whose packet comes next nobody can foresee, so there is no branch for it.
        work[count] = index
        count += shard_of(packet, shards) == shard
    cursor.clock_ns, cursor.turn_ns = clock_ns, turn_ns
    return count
