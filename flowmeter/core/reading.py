"""Bytes to numbers, in network order.

Bytes become numbers in these functions only, since to numba uint64 and int64 mixed are a float.
They check nothing: callers compare with the captured end first. So places are unsigned here, which
spares numba's look at negative ones and lets a number be read in one go.
"""

from __future__ import annotations

import numpy as np

from flowmeter.core.jit import helper
from flowmeter.core.layout import Bytes


@helper
def u8(data: Bytes, at: int) -> int:
    """One byte."""
    value: int = data[np.uint64(at)] + 0
    return value


@helper
def u16(data: Bytes, at: int) -> int:
    """Two bytes."""
    place = np.uint64(at)
    value: int = data[place] * 256 + data[place + np.uint64(1)]
    return value


@helper
def u32(data: Bytes, at: int) -> int:
    """Four bytes."""
    place = np.uint64(at)
    upper: int = data[place] * 256 + data[place + np.uint64(1)]
    lower: int = data[place + np.uint64(2)] * 256 + data[place + np.uint64(3)]
    return upper * 65536 + lower
