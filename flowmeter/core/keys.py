"""The key of a packet's flow: the same for both directions, with a hash of it."""

from __future__ import annotations

import numpy as np

from flowmeter.core.fragments import carry
from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import WHOLE, Record, Records


@compiled
def identify(packets: Records, count: int, fragments: Records) -> None:
    """Give the first ``count`` dissected packets their flow's key, and say who of the two sends.

    They must come in the order of the network's time, as ``fragments`` carries ports from one
    fragment to the next.
    """
    for index in range(count):
        packet = packets[index]
        if packet.reject != 0:
            continue
        if packet.fragment != WHOLE:
            carry(fragments, packet)
            if packet.reject != 0:
                continue
        # The addresses are in the key's places already, which are theirs: in order or swapped.
        if _from_low(packet):
            packet.from_low = 1
            packet.tag = _tag(packet, packet.src_port, packet.dst_port)
        else:
            packet.from_low = 0
            low_hi, low_lo = packet.dst_hi, packet.dst_lo
            packet.high_hi, packet.high_lo = packet.src_hi, packet.src_lo
            packet.low_hi, packet.low_lo = low_hi, low_lo
            packet.tag = _tag(packet, packet.dst_port, packet.src_port)
        packet.hash = _hash(packet)


@helper
def _from_low(packet: Record) -> bool:
    """Whether the sender is the lower of the two end points."""
    if packet.src_hi != packet.dst_hi:
        return bool(packet.src_hi < packet.dst_hi)
    if packet.src_lo != packet.dst_lo:
        return bool(packet.src_lo < packet.dst_lo)
    return bool(packet.src_port <= packet.dst_port)


@helper
def _tag(packet: Record, low_port: np.uint16, high_port: np.uint16) -> np.uint64:
    """IP version, protocol and both ports in one word."""
    kind = (np.uint64(packet.version) << np.uint64(8)) | np.uint64(packet.protocol)
    ports = (np.uint64(low_port) << np.uint64(16)) | np.uint64(high_port)
    return (kind << np.uint64(32)) | ports


@helper
def _hash(packet: Record) -> np.uint64:
    value = _mix(packet.tag, packet.low_lo)
    value = _mix(value, packet.high_lo)
    value = _mix(value, packet.low_hi)
    return _mix(value, packet.high_hi)


@helper
def _mix(value: np.uint64, word: np.uint64) -> np.uint64:
    value = (value ^ word) * np.uint64(0x9E3779B97F4A7C15)
    return value ^ (value >> np.uint64(32))
