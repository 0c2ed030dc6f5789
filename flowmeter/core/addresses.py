"""Addresses as people write them: IPv6 with its longest run of zeros left out (RFC 5952)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import Bytes, Int, Slots

LONGEST_TEXT = 39
DOT, COLON, ZERO, LETTER = 46, 58, 48, 87  # the last one less 10 is before 'a'


@compiled
def write_addresses(
    version: Bytes,
    high: npt.NDArray[np.uint64],
    low: npt.NDArray[np.uint64],
    text: Bytes,
    ends: Slots,
) -> None:
    """Write addresses one after the other, and where each ends to ``ends[1:]``."""
    at = np.int64(0)
    for index in range(len(version)):
        if version[index] == 6:
            at = _v6(text, at, high[index], low[index])
        else:
            at = _v4(text, at, np.int64(low[index]))
        ends[index + 1] = at


@helper
def _v4(text: Bytes, at: Int, address: Int) -> Int:
    for octet in range(4):
        if octet > 0:
            text[at] = DOT
            at += 1
        number = (address >> (24 - 8 * octet)) & 255
        if number > 99:
            text[at] = ZERO + number // 100
            at += 1
        if number > 9:
            text[at] = ZERO + number // 10 % 10
            at += 1
        text[at] = ZERO + number % 10
        at += 1
    return at


@helper
def _v6(text: Bytes, at: Int, high: np.uint64, low: np.uint64) -> Int:
    first, longest, length = -1, 1, 0  # of zeros: a lone one stays
    for place in range(8):
        length = length + 1 if _group(high, low, place) == 0 else 0
        if length > longest:
            first, longest = place - length + 1, length
    # An IPv4 address in the last 32 bits is written as such.
    mapped = longest == 5 and _group(high, low, 5) == 0xFFFF
    dotted = first == 0 and (longest == 6 or mapped)
    for place in range(8):
        if first >= 0 and first <= place < first + longest:
            if place == first:
                text[at] = COLON
                at += 1
            continue
        if place > 0:
            text[at] = COLON
            at += 1
        if place == 6 and dotted:
            return _v4(text, at, np.int64(low & np.uint64(0xFFFFFFFF)))
        at = _hexadecimal(text, at, _group(high, low, place))
    if first >= 0 and first + longest == 8:
        text[at] = COLON
        at += 1
    return at


@helper
def _group(high: np.uint64, low: np.uint64, place: Int) -> Int:
    word = high if place < 4 else low
    return np.int64(word >> np.uint64(48 - 16 * (place & 3))) & 0xFFFF


@helper
def _hexadecimal(text: Bytes, at: Int, number: Int) -> Int:
    for shift in range(12, -1, -4):
        if shift == 0 or number >> shift > 0:
            digit = (number >> shift) & 15
            text[at] = digit + (ZERO if digit < 10 else LETTER)
            at += 1
    return at
