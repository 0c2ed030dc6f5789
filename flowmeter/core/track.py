"""The core: packets into flows. The rules it follows are those in the package's docstring.

Compiled loops over a `Store`. A loop stops early when the store has no room for segments left and
tells the caller how far it came; `flowmeter.engine` makes room and calls again.
"""

from __future__ import annotations

import numpy as np

from flowmeter.core import tstat
from flowmeter.core.fetch import BLOCK_PACKETS, fetch_flows
from flowmeter.core.hashing import entry, find, forget, slot_of
from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import (
    ACTIVE,
    CLOSED,
    CONTINUED,
    FRESH,
    IDLE,
    LATER_FRAGMENT,
    OUTSIDE,
    RESET,
    REUSED,
    SAME,
    Indexed,
    Int,
    Integers,
    Record,
    Records,
    Slots,
)
from flowmeter.core.rejects import OUTSIDE_SEMANTICS
from flowmeter.core.segments import release
from flowmeter.core.store import SPARE_SEGMENTS, TICK_NS, Store
from flowmeter.core.tcp import add_tcp
from flowmeter.core.update import add_packet
from flowmeter.core.wheel import arm, disarm, due_tick, patience, rearm

TCP, UDP = 6, 17
SYN, RST, ACK = 2, 4, 16


@compiled
def track(  # noqa: PLR0917, C901 - compiled
    store: Store, packets: Records, work: Integers, begin: Int, end: Int, shards: Int,
    rejects: Integers,
) -> Int:  # fmt: skip
    """Do the ``work`` that was dealt, from ``begin`` to ``end``; up to where it is done."""
    cursor, limits = store.cursor[0], store.limits[0]
    table, flows, sides = store.table, store.flows, store.sides
    segments, wheel = store.segments, store.wheel
    words, gaps, payloads = store.words, store.gaps, store.payloads
    # Whatever is done for every packet gets records: a call copies the dozen arrays of a store.
    for task in range(begin, end):
        if (task - begin) % BLOCK_PACKETS == 0:
            until = min(task + BLOCK_PACKETS, end)
            fetch_flows(store, packets, work, task, until)
        if cursor.spare_segments < SPARE_SEGMENTS:
            return task
        index = work[task]
        if index < 0:
            _turn(store, ~index)
            continue
        packet = packets[index]
        place = find(table, flows, packet)
        slot = slot_of(table[place])
        if limits.tstat:
            place, slot, verdict = _by_tstat(store, place, packet)
        else:
            verdict = _verdict(flows, sides, slot, packet, limits)
        if verdict == OUTSIDE:
            rejects[OUTSIDE_SEMANTICS] += 1
            packet.slot = -1
            continue
        if verdict != SAME:
            slot = _begin(store, packet, slot, place, verdict)
        flow = flows[slot]
        direction = np.int64(flow.client_low != packet.from_low)  # C2S or S2C, without a branch
        if shards == 1:  # several would slow each other down by writing beside each other
            packet.slot, packet.opens, packet.direction = slot, verdict, direction
        side, other = sides[slot, direction], sides[slot, 1 - direction]
        # Time never runs backwards inside a flow; for Tstat it does, but not before its beginning.
        now_ns = max(packet.time_ns, flow.first_ns if limits.tstat else flow.last_ns)
        _remember(words, gaps, payloads, slot, flow, side, other, packet, direction, now_ns)
        add_packet(flow, side, packet, direction, now_ns)
        if packet.protocol == TCP and packet.fragment != LATER_FRAGMENT:
            closed = flow.closed
            add_tcp(flow, side, other, segments, cursor, packet, direction, now_ns)
            if flow.closed != closed:
                rearm(wheel, flows, slot, due_tick(flow, limits), cursor.tick)
    return end


@compiled
def advance(store: Store, clock_ns: Int) -> None:
    """Let time pass without packets: flows that have been idle too long end."""
    cursor = store.cursor[0]
    cursor.clock_ns = max(clock_ns, cursor.clock_ns)
    if cursor.clock_ns >= cursor.turn_ns:
        cursor.turn_ns = (cursor.clock_ns // TICK_NS + 1) * TICK_NS
        _turn(store, cursor.clock_ns // TICK_NS)


@helper
def _remember(  # noqa: PLR0917 - compiled
    words: Indexed, gaps: Indexed, payloads: Indexed, slot: Int, flow: Record, side: Record,
    other: Record, packet: Record, direction: Int, now_ns: Int,
) -> None:  # fmt: skip
    """Keep the packet if it is one of the flow's first, or of the first with payload."""
    at = np.int64(flow.packets)
    if at < words.shape[1]:
        word = np.int64(packet.ip_bytes) << 9 | direction << 8
        words[slot, at] = word | np.int64(packet.flags)
        gaps[slot, at] = (now_ns - flow.last_ns) / 1e3
    told = side.payload_packets + other.payload_packets
    if packet.payload_bytes > 0 and told < payloads.shape[1]:
        payloads[slot, told] = packet.payload_bytes * (1 - 2 * direction)


@helper
def _verdict(flows: Indexed, sides: Indexed, slot: Int, packet: Record, limits: Record) -> Int:
    """Whether the packet belongs to the flow of its key, or a new flow begins with it."""
    if slot < 0:
        return FRESH
    flow = flows[slot]
    silence_ns = packet.time_ns - flow.last_ns
    # Nearly every flow is younger than the least of its time-outs could be.
    if silence_ns > limits.least_ns and silence_ns > patience(flow, limits):
        return FRESH
    if packet.protocol == TCP and packet.flags & (SYN | ACK) == SYN:
        direction = np.int64(flow.client_low != packet.from_low)
        side, other = sides[slot, direction], sides[slot, 1 - direction]
        if side.isn_known:
            if side.isn != packet.seq:
                return FRESH
        # A first SYN from this side fits a flow of SYNs only (simultaneous open).
        elif flow.closed or flow.packets != side.syn + other.syn:
            return FRESH
    if packet.time_ns - flow.first_ns > limits.active_ns:
        return CONTINUED
    return SAME


@helper
def _begin(store: Store, packet: Record, old: Int, place: Int, verdict: Int) -> Int:
    """Begin a flow, instead of the one in slot ``old`` if that is not -1; its slot."""
    flows, sides, cursor, limits = store.flows, store.sides, store.cursor[0], store.limits[0]
    slot = _open(flows, sides, store.free, cursor, packet)
    if old >= 0:
        _inherit(flows[slot], flows[old], verdict)
        late_ns = packet.time_ns - flows[old].last_ns - patience(flows[old], limits)
        due = due_tick(flows[old], limits) if late_ns > 0 else np.int64(0)
        _supersede(flows[old], sides[old, 0], sides[old, 1], verdict, due, cursor.tick + 1)
        _close(store, old)
    store.table[place] = entry(slot, packet.hash)
    if limits.tstat:
        tstat.enlist(store.wheel, flows, cursor, slot, packet.protocol)
    else:
        arm(store.wheel, flows, slot, due_tick(flows[slot], limits), cursor.tick)
    return slot


@helper
def _open(flows: Indexed, sides: Indexed, free: Slots, cursor: Record, packet: Record) -> Int:
    """Begin a flow with this packet, which is added to it afterwards; its slot."""
    cursor.free -= 1
    slot = np.int64(free[cursor.free])
    flow = flows[slot]
    flow.low_hi, flow.low_lo = packet.low_hi, packet.low_lo
    flow.high_hi, flow.high_lo = packet.high_hi, packet.high_lo
    flow.tag, flow.hash = packet.tag, packet.hash
    flow.used = 1
    flow.tos = packet.tos
    flow.first_ns = flow.last_ns = flow.active_ns = flow.origin_ns = packet.time_ns
    flow.syn_ns = flow.synack_ns = flow.ack_ns = flow.tls_data_ns = -1
    flow.burst_side = -1
    answers = packet.protocol == TCP and packet.flags & (SYN | ACK) == SYN | ACK
    flow.client_low = 1 - packet.from_low if answers else packet.from_low
    for direction in range(2):
        side = sides[slot, direction]
        side.first_payload_ns = side.last_payload_ns = side.first_ack_ns = -1
        side.seq_top = side.acked = -1
        side.head = side.tail = side.window = side.window_now = -1
        side.window_scale = -1
        side.ttl_min = 255
    return slot


@helper
def _inherit(fresh: Record, old: Record, verdict: Int) -> None:
    """What a flow takes over from the one before it of the same key."""
    if verdict == CONTINUED:
        fresh.client_low = old.client_low
        fresh.segment = old.segment + 1
        fresh.origin_ns, fresh.origin_ordinal = old.origin_ns, old.origin_ordinal
    if fresh.first_ns == old.first_ns:
        fresh.ordinal = old.ordinal + 1
        if verdict != CONTINUED:
            fresh.origin_ordinal = fresh.ordinal


@helper
def _supersede(  # noqa: PLR0917 - compiled
    flow: Record, first: Record, second: Record, verdict: Int, due: Int, tick: Int
) -> None:
    """Say when and why a flow ends whose key another one has taken over; ``due`` if it was idle."""
    flow.tick = max(due, tick)
    if due > 0:
        _note_idle(flow, first, second)
    elif verdict == CONTINUED:
        flow.end_reason = ACTIVE
    else:
        flow.end_reason = REUSED


@helper
def _note_idle(flow: Record, first: Record, second: Record) -> None:
    if not flow.closed:
        flow.end_reason = IDLE
    elif first.rst or second.rst:
        flow.end_reason = RESET
    else:
        flow.end_reason = CLOSED


@helper
def _close(store: Store, slot: Int) -> None:
    """Finish a flow that is in the hash table no more."""
    cursor, flow = store.cursor[0], store.flows[slot]
    disarm(store.wheel, store.flows, slot)
    release(store.sides[slot, 0], store.segments, cursor)
    release(store.sides[slot, 1], store.segments, cursor)
    flow.used = 0
    store.finished[cursor.finished] = slot
    cursor.finished += 1


@helper
def _turn(store: Store, now: Int) -> None:
    """Turn the wheel up to a second; end the flows whose time has come."""
    cursor, limits = store.cursor[0], store.limits[0]
    first = cursor.tick + 1  # what ends now comes after all that has left before
    cursor.tick = max(cursor.tick, now - len(store.wheel))
    while cursor.tick < now:
        cursor.tick += 1
        slot = np.int64(store.wheel[cursor.tick % len(store.wheel)])
        while slot >= 0:
            flow = store.flows[slot]
            following = np.int64(flow.wheel_next)
            if limits.tstat and not flow.closed:  # it is here for its part, not for the time
                slot = following
                continue
            due = due_tick(flow, limits)
            if due <= cursor.tick:
                forget(store.table, store.flows, slot)
                _note_idle(flow, store.sides[slot, 0], store.sides[slot, 1])
                flow.tick = max(due, first)
                _close(store, slot)
            else:
                rearm(store.wheel, store.flows, slot, due, cursor.tick)
            slot = following


@helper
def _by_tstat(store: Store, place: Int, packet: Record) -> tuple[Int, Int, Int]:
    """Where the packet's flow is in the table, its slot, and the verdict, all by Tstat's rules."""
    flows, sides, cursor, limits = store.flows, store.sides, store.cursor[0], store.limits[0]
    verdict = tstat.verdict(flows, sides, slot_of(store.table[place]), packet)
    tstat.begin_scan(cursor, packet.time_ns, verdict)
    slot = tstat.next_idle(store.wheel, flows, sides, cursor, limits, packet.time_ns)
    while slot >= 0:
        forget(store.table, flows, slot)
        _note_idle(flows[slot], sides[slot, 0], sides[slot, 1])
        flows[slot].tick = cursor.tick + 1
        _close(store, slot)
        slot = tstat.next_idle(store.wheel, flows, sides, cursor, limits, packet.time_ns)
        place = find(store.table, flows, packet)  # flows move up when others leave
    return place, slot_of(store.table[place]), verdict
