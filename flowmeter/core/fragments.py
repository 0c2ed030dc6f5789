"""Ports of fragmented packets, from the first fragment to the later ones, which carry none.

The table is shared by all captures of a network and read in order of time. A datagram has one place
in it, by its addresses and number; the next datagram of that place takes it over.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from flowmeter.core.jit import helper
from flowmeter.core.layout import FIRST_FRAGMENT, Record, Records
from flowmeter.core.rejects import FRAGMENT_WITHOUT_FIRST

PLACES: Final = 4096  # a power of 2
LONGEST_NS: Final = 30 * 1_000_000_000  # what Linux waits for the rest of a datagram
FRAGMENTED: Final = np.dtype(
    [
        ("tag", "u8"),  # IP version, for IPv4 the protocol, and the number; 0: never used
        ("src_hi", "u8"),
        ("src_lo", "u8"),
        ("dst_hi", "u8"),
        ("dst_lo", "u8"),
        ("time_ns", "i8"),
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("protocol", "u1"),
    ],
    align=True,
)


def new_fragments() -> Records:
    """Make an empty table."""
    return np.zeros(PLACES, FRAGMENTED)


@helper
def carry(fragments: Records, packet: Record) -> None:
    """Remember the ports of a first fragment, or give them to a later one."""
    word = packet.src_lo ^ packet.dst_lo ^ packet.src_hi ^ packet.dst_hi
    word = (word ^ packet.tag) * np.uint64(0x9E3779B97F4A7C15)
    place = fragments[np.int64(word >> np.uint64(52))]
    if packet.fragment == FIRST_FRAGMENT:
        place.tag = packet.tag
        place.src_hi, place.src_lo = packet.src_hi, packet.src_lo
        place.dst_hi, place.dst_lo = packet.dst_hi, packet.dst_lo
        place.time_ns = packet.time_ns
        place.src_port, place.dst_port = packet.src_port, packet.dst_port
        place.protocol = packet.protocol
    elif (
        place.tag == packet.tag
        and place.src_lo == packet.src_lo
        and place.dst_lo == packet.dst_lo
        and place.src_hi == packet.src_hi
        and place.dst_hi == packet.dst_hi
        and abs(packet.time_ns - place.time_ns) <= LONGEST_NS
    ):
        packet.src_port, packet.dst_port = place.src_port, place.dst_port
        packet.protocol = place.protocol
        if place.protocol in (6, 17):  # UDP: counted with the first fragment
            packet.payload_bytes = 0
    else:
        packet.reject = FRAGMENT_WITHOUT_FIRST
