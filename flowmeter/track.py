"""The core: packets into flows. The rules it follows are those in the package's docstring.

Compiled loops over a `Store`. A loop stops early when the store has no slot left and tells the
caller how far it came; `flowmeter.engine` makes room and calls again.
"""

from __future__ import annotations

import numpy as np

from flowmeter.jit import compiled
from flowmeter.layout import C2S, S2C, Integers, Record, Records, Slots, Store

TCP = 6
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
SAME, FRESH, CONTINUED = 0, 1, 2
MASK32 = 0xFFFFFFFF


@compiled
def track(store: Store, packets: Records, begin: int, rejects: Integers) -> int:
    """Put packets from ``begin`` on into flows; how many of ``packets`` are done."""
    cursor = store.cursor[0]
    for index in range(begin, len(packets)):
        packet = packets[index]
        if packet.reject != 0:
            rejects[packet.reject] += 1
            continue
        if cursor.free == 0:
            return index
        cursor.earlier_ns, cursor.clock_ns = cursor.clock_ns, packet.time_ns
        place = _find(store.table, store.flows, packet)
        slot = store.table[place]
        if slot < 0:
            slot = _open(store, packet)
            store.table[place] = slot
        else:
            flow = store.flows[slot]
            direction = C2S if flow.client_low == packet.from_low else S2C
            side, other = store.sides[slot, direction], store.sides[slot, 1 - direction]
            verdict = _continues(flow, side, other, packet, store.limits[0])
            if verdict != SAME:
                slot = _succeed(store, packet, slot, verdict)
                store.table[place] = slot
        # Helpers get records, not the store: its dozen arrays would be copied for every call.
        flow = store.flows[slot]
        direction = C2S if flow.client_low == packet.from_low else S2C
        side, other = store.sides[slot, direction], store.sides[slot, 1 - direction]
        if flow.packets < store.sizes.shape[1]:
            store.sizes[slot, flow.packets] = packet.ip_bytes
            store.directions[slot, flow.packets] = 1 if direction == C2S else -1
            store.gaps[slot, flow.packets] = max(packet.time_ns - flow.last_ns, 0) / 1e3
        told = side.payload_packets + other.payload_packets
        if packet.payload_bytes > 0 and told < store.payloads.shape[1]:
            signed = packet.payload_bytes if direction == C2S else -packet.payload_bytes
            store.payloads[slot, told] = signed
        _add(flow, side, other, packet, direction)
    return len(packets)


@compiled
def sweep(store: Store) -> None:
    """End every flow that has been idle too long; rebuild the hash table."""
    store.table[:] = -1
    mask = len(store.table) - 1
    limits = store.limits[0]
    cursor = store.cursor[0]
    clock_ns = min(cursor.clock_ns, cursor.earlier_ns)  # one wild time stamp ends nothing
    for slot in range(len(store.flows)):
        flow = store.flows[slot]
        if flow.used == 0:
            continue
        if clock_ns - flow.last_ns > _patience(flow, limits):
            flow.used = 0
            store.finished[cursor.finished] = slot
            cursor.finished += 1
            continue
        place = np.int64(flow.hash & np.uint64(mask))
        while store.table[place] >= 0:
            place = (place + 1) & mask
        store.table[place] = slot


@compiled
def _find(table: Slots, flows: Records, packet: Record) -> np.int64:
    """The table position of the packet's key, or the empty one where it belongs."""
    mask = np.int64(len(table) - 1)
    place = np.int64(packet.hash & np.uint64(mask))
    while table[place] >= 0 and not _same_key(flows[table[place]], packet):
        place = (place + 1) & mask
    return place


@compiled
def _same_key(flow: Record, packet: Record) -> bool:
    if flow.hash != packet.hash or flow.tag != packet.tag:
        return False
    low = flow.low_lo == packet.low_lo and flow.low_hi == packet.low_hi
    return bool(low and flow.high_lo == packet.high_lo and flow.high_hi == packet.high_hi)


@compiled
def _succeed(store: Store, packet: Record, slot: int, verdict: int) -> int:
    """End the flow in ``slot``; the slot of the new flow that this packet of its key begins."""
    old = store.flows[slot]
    fresh = _open(store, packet)
    flow = store.flows[fresh]
    if verdict == CONTINUED:
        flow.client_low = old.client_low
    if flow.first_ns == old.first_ns:
        flow.ordinal = old.ordinal + 1
    old.used = 0
    cursor = store.cursor[0]
    store.finished[cursor.finished] = slot
    cursor.finished += 1
    return fresh


@compiled
def _patience(flow: Record, limits: Record) -> int:
    is_tcp = (flow.tag >> np.uint64(32)) & np.uint64(255) == TCP
    patience_ns: int = limits.tcp_idle_ns if is_tcp else limits.udp_idle_ns
    if flow.closed:
        patience_ns = limits.linger_ns
    return patience_ns


@compiled
def _continues(flow: Record, side: Record, other: Record, packet: Record, limits: Record) -> int:
    """Whether the packet belongs to the flow of its key, or a new flow begins with it."""
    if packet.time_ns - flow.last_ns > _patience(flow, limits):
        return FRESH
    if packet.protocol == TCP and packet.flags & (SYN | ACK) == SYN:
        if side.isn_known:
            if side.isn != packet.seq:
                return FRESH
        # A first SYN from this side fits a flow of SYNs only (simultaneous open).
        elif flow.closed or flow.packets != side.syn + other.syn:
            return FRESH
    if packet.time_ns - flow.first_ns > limits.active_ns:
        return CONTINUED
    return SAME


@compiled
def _open(store: Store, packet: Record) -> int:
    """Begin a flow with this packet, which is added to it afterwards; its slot."""
    cursor = store.cursor[0]
    cursor.free -= 1
    slot: int = store.free[cursor.free]
    store.flows[slot] = store.blank_flow[0]
    store.sides[slot, C2S] = store.blank_side[0]
    store.sides[slot, S2C] = store.blank_side[0]
    store.sizes[slot, :] = 0
    store.directions[slot, :] = 0
    store.gaps[slot, :] = 0
    store.payloads[slot, :] = 0
    flow = store.flows[slot]
    flow.low_hi, flow.low_lo = packet.low_hi, packet.low_lo
    flow.high_hi, flow.high_lo = packet.high_hi, packet.high_lo
    flow.tag, flow.hash = packet.tag, packet.hash
    flow.used = 1
    flow.first_ns = flow.last_ns = packet.time_ns
    answers = packet.protocol == TCP and packet.flags & (SYN | ACK) == SYN | ACK
    flow.client_low = 1 - packet.from_low if answers else packet.from_low
    return slot


@compiled
def _add(flow: Record, side: Record, other: Record, packet: Record, direction: int) -> None:
    now_ns = max(packet.time_ns, flow.last_ns)  # time never runs backwards inside a flow
    if flow.packets > 0:
        _flow_gap(flow, now_ns - flow.last_ns)
    flow.packets += 1
    flow.last_ns = now_ns
    _add_to_side(side, packet, now_ns)
    if packet.protocol == TCP:
        _count_flags(side, packet)
        if packet.flags & SYN:
            _learn_isn(side, other, packet)
        if flow.ack_ns < 0:
            _handshake(flow, other, packet, direction, now_ns)
        _closing(flow, side, other, packet)


@compiled
def _flow_gap(flow: Record, gap_ns: int) -> None:
    flow.iat_min = min(flow.iat_min, gap_ns)
    flow.iat_max = max(flow.iat_max, gap_ns)
    distance = gap_ns - flow.iat_mean  # Welford: exact for equal values, stable for long flows
    flow.iat_mean += distance / flow.packets
    flow.iat_m2 += distance * (gap_ns - flow.iat_mean)


@compiled
def _add_to_side(side: Record, packet: Record, now_ns: int) -> None:
    if side.packets > 0:
        gap_ns = now_ns - side.last_ns
        side.iat_min = min(side.iat_min, gap_ns)
        side.iat_max = max(side.iat_max, gap_ns)
        distance = gap_ns - side.iat_mean
        side.iat_mean += distance / side.packets
        side.iat_m2 += distance * (gap_ns - side.iat_mean)
    size = np.int64(packet.ip_bytes)
    side.packets += 1
    side.last_ns = now_ns
    side.ip_bytes += size
    side.size_min = min(side.size_min, size)
    side.size_max = max(side.size_max, size)
    distance = size - side.size_mean
    side.size_mean += distance / side.packets
    side.size_m2 += distance * (size - side.size_mean)
    if packet.payload_bytes > 0:
        if side.payload_packets == 0:
            side.first_payload_ns = now_ns
        side.payload_packets += 1
        side.payload_bytes += packet.payload_bytes
    side.ttl_min = min(side.ttl_min, packet.ttl)
    side.ttl_max = max(side.ttl_max, packet.ttl)


@compiled
def _count_flags(side: Record, packet: Record) -> None:
    flags = np.int64(packet.flags)
    side.fin += flags & 1
    side.syn += (flags >> 1) & 1
    side.rst += (flags >> 2) & 1
    side.psh += (flags >> 3) & 1
    side.ack += (flags >> 4) & 1
    side.urg += (flags >> 5) & 1
    side.ece += (flags >> 6) & 1
    side.cwr += (flags >> 7) & 1
    if packet.payload_bytes == 0 and flags & (ACK | SYN | FIN | RST) == ACK:
        side.pure_acks += 1


@compiled
def _learn_isn(side: Record, other: Record, packet: Record) -> None:
    if not side.isn_known:
        side.isn = packet.seq
        side.isn_known = 1
        side.window = packet.window
    if packet.flags & ACK and not other.isn_known:
        other.isn = (np.int64(packet.ack) - 1) & MASK32
        other.isn_known = 1


@compiled
def _handshake(flow: Record, other: Record, packet: Record, direction: int, now_ns: int) -> None:
    """Times of SYN, SYN-ACK and the ACK that ends the handshake, while it lasts."""
    kind = packet.flags & (SYN | ACK | RST | FIN)
    acked = (np.int64(packet.ack) - other.isn) & MASK32
    if kind == SYN and direction == C2S:
        if flow.syn_ns >= 0:
            flow.handshake_broken = 1
        flow.syn_ns = now_ns
    elif kind == SYN | ACK and direction == S2C:
        # A SYN with data (fast open) may be acknowledged with or without the data.
        if flow.synack_ns >= 0 or acked < 1 or acked > 1 + other.payload_bytes:
            flow.handshake_broken = 1
        flow.synack_ns = now_ns
    elif kind & (ACK | SYN | RST) == ACK and direction == C2S and flow.synack_ns >= 0:
        if acked != 1:
            flow.handshake_broken = 1
        flow.ack_ns = now_ns


@compiled
def _closing(flow: Record, side: Record, other: Record, packet: Record) -> None:
    """A TCP flow closes at a RST, or when both FINs are acknowledged."""
    if packet.flags & RST:
        flow.closed = 1
    if packet.flags & FIN and side.fin == 1:
        spans = np.int64(packet.seq) + packet.payload_bytes + 1
        side.fin_end = (spans + ((packet.flags & SYN) >> 1)) & MASK32
    if packet.flags & ACK and other.fin > 0:
        ahead = (np.int64(packet.ack) - other.fin_end) & MASK32
        if ahead < 0x80000000:
            other.fin_acked = 1
            if side.fin_acked:
                flow.closed = 1
