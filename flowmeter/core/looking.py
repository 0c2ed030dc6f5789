"""Looks at frames as they are read: is one there twice, is one larger than its wire carries?"""

from __future__ import annotations

from typing import Final

import numpy as np

from flowmeter.core.jit import compiled
from flowmeter.core.layout import Bytes, Records

REPEAT_NS: Final = 1_000_000  # equal frames no further apart than this are one, seen twice
COMPARED_BYTES: Final = 128  # headers with checksums, which speak for the rest
PLACES: Final = 1 << 16
ETHERNET, ETHERNET_BYTES = 1, 14

SEEN: Final = np.dtype([("hash", "u8"), ("time_ns", "i8")])
LOOKED: Final = np.dtype(
    [("wire_bytes", "i8"), ("repeated", "i8"), ("oversize", "i8"), ("largest", "i8")]
)


@compiled
def look(data: Bytes, packets: Records, seen: Records, looked: Records, mtu: int) -> None:
    """Add what is to be said of a batch to ``looked[0]``.

    Parameters
    ----------
    data
        Holds the frames.
    seen
        SEEN [PLACES], zeros at first: the frames that came last, by their hash.
    mtu
        Bytes of IP that the link carries.
    """
    totals = looked[0]
    for index in range(len(packets)):
        packet = packets[index]
        hashed = np.uint64(14695981039346656037) ^ np.uint64(packet.wire)
        for at in range(packet.at + 0, packet.at + min(packet.captured, COMPARED_BYTES)):
            hashed = (hashed ^ np.uint64(data[at])) * np.uint64(1099511628211)  # FNV-1a
        before = seen[np.int64(hashed >> np.uint64(48))]
        if before.hash == hashed and abs(packet.time_ns - before.time_ns) <= REPEAT_NS:
            totals.repeated += 1
        before.hash = hashed
        before.time_ns = packet.time_ns
        totals.wire_bytes += packet.wire
        if packet.link == ETHERNET:
            carried = packet.wire - ETHERNET_BYTES
            totals.largest = max(totals.largest, carried)
            if carried > mtu:
                totals.oversize += 1
