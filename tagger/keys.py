"""Flow keys as numbers: equal keys get equal numbers, so joins are searches in sorted arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tagger.flows import Int64s


def lookup(known: Int64s, wanted: Int64s) -> Int64s:
    """Where each wanted number stands in ``known`` (sorted, unique); -1 where it does not."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1).astype(np.int64)
    return np.where(known[place] == wanted, place, np.int64(-1))


class AddressPairs:
    """Numbers for pairs of addresses; -1 for a pair that was not there at the start."""

    def __init__(self, a: pa.Array, b: pa.Array) -> None:
        self._addresses = pc.unique(pa.chunked_array([a, b], type=pa.string()))
        self._known = np.unique(self._combined(a, b))

    def number(self, a: pa.Array, b: pa.Array) -> Int64s:
        """The number of each pair ``(a[i], b[i])``."""
        return lookup(self._known, self._combined(a, b))

    def _combined(self, a: pa.Array, b: pa.Array) -> Int64s:
        first, second = self._code(a), self._code(b)
        combined = first * (len(self._addresses) + 1) + second
        return np.where((first < 0) | (second < 0), np.int64(-1), combined)

    def _code(self, addresses: pa.Array) -> Int64s:
        codes = pc.fill_null(pc.index_in(addresses, value_set=self._addresses), -1)
        return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def pack(pair: Int64s, protocol: Int64s, *ports: Int64s) -> Int64s:
    """A pair (below 2^23), a protocol and up to two ports as one number; -1 where the pair is."""
    key = pair << 8 | protocol
    for port in ports:
        key = key << 16 | port
    return np.where(pair < 0, np.int64(-1), key)
