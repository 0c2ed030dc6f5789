"""Taking rows out of the store's arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowmeter.core.jit import compiled
from flowmeter.core.layout import Slots

Words = npt.NDArray[np.uint32]


@compiled
def empty(rows: Words, slots: Slots, out: Words) -> None:
    """Move the rows [n, words] of these slots to ``out``; what stays behind is zeros."""
    width = rows.shape[1]
    for index in range(len(slots)):
        slot = slots[index]
        for word in range(width):
            out[index, word] = rows[slot, word]
        for word in range(width):
            rows[slot, word] = 0
