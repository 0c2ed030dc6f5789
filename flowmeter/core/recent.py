"""What the hosts of a flow did in the seconds before it began, counted exactly.

A ring holds the openings of the last window, in order of time; a hash table counts how many of
them share a key (the initiator, the pair of hosts, ...). An opening that leaves the window is taken
off its counts, and a count that comes to 0 leaves the table, so memory is bounded by the openings
of one window.

A key is a 64-bit hash of what it stands for. Two that meet would be counted as one: among a million
keys that has a chance of 1 in 37 million.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import Record, Records

FIRST_OPENINGS: Final = 4096
# Keys of an opening. A new pair is one more responder of its source, a new port one more of its
# pair: each is counted in the entry of the kind before it.
SOURCE, PAIR, PAIR_PORT, TARGET, SERVICE = range(5)
KINDS: Final = 5

OPENING: Final = np.dtype([("time_ns", "i8"), ("keys", "u8", (KINDS,))], align=True)
COUNT: Final = np.dtype([("key", "u8"), ("flows", "i4"), ("distinct", "i4")], align=True)
RING: Final = np.dtype(
    [("window_ns", "i8"), ("newest_ns", "i8"), ("oldest", "i8"), ("openings", "i8")], align=True
)


class Recent(NamedTuple):
    """The openings of the last window."""

    ring: Records  # RING [1]
    openings: Records  # OPENING [a power of two]
    counts: Records  # COUNT [eight times as many]; an entry without flows is empty


def new_recent(window_ns: int, openings: int = FIRST_OPENINGS) -> Recent:
    """Nothing has begun yet; room for ``openings``, a power of two, within one window."""
    ring = np.zeros(1, RING)
    ring["window_ns"], ring["newest_ns"] = window_ns, np.iinfo(np.int64).min
    # Five keys for each opening at most: the table is never fuller than five eighths.
    return Recent(ring, np.zeros(openings, OPENING), np.zeros(8 * openings, COUNT))


def grown_recent(recent: Recent) -> Recent:
    """The same openings, with room for twice as many."""
    old = recent.ring[0]
    larger = new_recent(int(old["window_ns"]), 2 * len(recent.openings))
    places = (old["oldest"] + np.arange(old["openings"])) % len(recent.openings)
    larger.openings[: len(places)] = recent.openings[places]
    larger.ring["newest_ns"], larger.ring["openings"] = old["newest_ns"], len(places)
    _count_all(larger.counts, larger.openings, len(places))
    return larger


@compiled
def note_opening(  # noqa: PLR0917 - a flow's key, as the core has it
    recent: Recent,
    src_hi: np.uint64,
    src_lo: np.uint64,
    dst_hi: np.uint64,
    dst_lo: np.uint64,
    kind: np.uint64,
    dst_port: np.uint16,
    time_ns: np.int64,
    out: Record,
) -> bool:
    """Say in ``out`` (RECENT) what began in the window before a flow, and count it from now on.

    The source is the initiator; ``kind`` is IP version and protocol as in the upper half of
    FLOW.tag. A time below the one before counts as that one. False: there is no room; nothing is
    counted or said, grow and repeat.
    """
    ring = recent.ring[0]
    ring.newest_ns = max(ring.newest_ns, time_ns)
    _forget(ring, recent.openings, recent.counts)
    mask = np.int64(len(recent.openings)) - 1
    if ring.openings > mask:
        return False
    opening = recent.openings[(ring.oldest + ring.openings) & mask]
    opening.time_ns = ring.newest_ns
    source = _stirred(_stirred(kind >> np.uint64(8), src_hi), src_lo)
    target = _stirred(_stirred(kind >> np.uint64(8), dst_hi), dst_lo)
    port = np.uint64(dst_port)
    keys = opening.keys
    keys[SOURCE] = _stirred(source, np.uint64(SOURCE))
    keys[PAIR] = _stirred(_stirred(source, target), np.uint64(PAIR))
    keys[PAIR_PORT] = _stirred(_stirred(keys[PAIR], port), np.uint64(PAIR_PORT))
    keys[TARGET] = _stirred(target, np.uint64(TARGET))
    service = (kind << np.uint64(16)) | port
    keys[SERVICE] = _stirred(_stirred(target, service), np.uint64(SERVICE))
    _look_up(recent.counts, opening, out)
    _count(recent.counts, opening)
    ring.openings += 1
    return True


@compiled
def note_openings(
    recent: Recent, packets: Records, begin: int, flows: Records, out: Records
) -> int:
    """Note the flows that began with ``packets`` from ``begin`` on; how many packets are done.

    ``out`` has a RECENT record for each slot. Fewer than all are done if there is no room: grow and
    repeat from there.
    """
    for index in range(begin, len(packets)):
        packet = packets[index]
        if packet.reject != 0 or packet.slot < 0 or packet.opens != 1:
            continue
        flow = flows[packet.slot]
        src_hi, src_lo, dst_hi, dst_lo = flow.low_hi, flow.low_lo, flow.high_hi, flow.high_lo
        dst_port = np.uint16(flow.tag & np.uint64(0xFFFF))
        if not flow.client_low:
            src_hi, src_lo, dst_hi, dst_lo = dst_hi, dst_lo, src_hi, src_lo
            dst_port = np.uint16((flow.tag >> np.uint64(16)) & np.uint64(0xFFFF))
        kind, time_ns = flow.tag >> np.uint64(32), flow.first_ns
        note = out[packet.slot]
        if not note_opening(recent, src_hi, src_lo, dst_hi, dst_lo, kind, dst_port, time_ns, note):
            return index
    return len(packets)


@helper
def _forget(ring: Record, openings: Records, counts: Records) -> None:
    """Take off their counts the openings that have left the window."""
    mask = np.int64(len(openings)) - 1
    while ring.openings > 0:
        opening = openings[ring.oldest]
        if opening.time_ns >= ring.newest_ns - ring.window_ns:
            break
        for kind in range(KINDS - 1, -1, -1):  # an entry goes after those that it counts
            place = _place(counts, opening.keys[kind])
            counts[place].flows -= 1
            if counts[place].flows == 0:
                _empty(counts, place)
                if kind in (PAIR, PAIR_PORT):
                    counts[_place(counts, opening.keys[kind - 1])].distinct -= 1
        ring.oldest = (ring.oldest + 1) & mask
        ring.openings -= 1


@helper
def _look_up(counts: Records, opening: Record, out: Record) -> None:
    pair = counts[_place(counts, opening.keys[PAIR])]
    out.pair_flows, out.pair_ports = pair.flows, pair.distinct
    source = counts[_place(counts, opening.keys[SOURCE])]
    out.source_flows, out.source_hosts = source.flows, source.distinct
    out.target_flows = counts[_place(counts, opening.keys[TARGET])].flows
    out.service_flows = counts[_place(counts, opening.keys[SERVICE])].flows


@helper
def _count(counts: Records, opening: Record) -> None:
    for kind in range(KINDS):
        entry = counts[_place(counts, opening.keys[kind])]
        entry.key = opening.keys[kind]
        entry.flows += 1
        if entry.flows == 1 and kind in (PAIR, PAIR_PORT):
            counts[_place(counts, opening.keys[kind - 1])].distinct += 1


@compiled
def _count_all(counts: Records, openings: Records, number: int) -> None:
    for place in range(number):
        _count(counts, openings[place])


@helper
def _place(counts: Records, key: np.uint64) -> np.int64:
    """Where the key's entry is, or the empty one where it belongs."""
    mask = np.int64(len(counts)) - 1
    place = np.int64(key & np.uint64(mask))
    while counts[place].flows != 0 and counts[place].key != key:
        place = (place + 1) & mask
    return place


@helper
def _empty(counts: Records, place: np.int64) -> None:
    """Take an entry out, and move up those that had to give way to it."""
    mask = np.int64(len(counts)) - 1
    hole = place
    while True:
        place = (place + 1) & mask
        if counts[place].flows == 0:
            break
        home = np.int64(counts[place].key & np.uint64(mask))
        # It may move into the hole unless it belongs behind it.
        if ((place - home) & mask) >= ((place - hole) & mask):
            counts[hole] = counts[place]
            hole = place
    counts[hole].flows = 0
    counts[hole].distinct = 0


@helper
def _stirred(value: np.uint64, word: np.uint64) -> np.uint64:
    """Hash of both, in this order (the finaliser of splitmix64)."""
    value = value * np.uint64(0x9E3779B97F4A7C15) + word + np.uint64(0x632BE59BD9B4E019)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
