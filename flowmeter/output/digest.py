"""Tables of flows compared to the bit, without holding them: a hash of each column."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator


class RowDigest:
    """Takes the rows of a table batch by batch; how they are batched changes nothing.

    Attributes
    ----------
    count
        Rows so far.

    Examples
    --------
    >>> one, other = RowDigest(), RowDigest()
    >>> one.add(pa.record_batch({"size": [1, 2], "pace": [0.5, float("nan")]}))
    >>> for size, pace in ((1, 0.5), (2, float("nan"))):
    ...     other.add(pa.record_batch({"size": [size], "pace": [pace]}))
    >>> one.columns() == other.columns()
    True
    """

    def __init__(self) -> None:
        self.count = 0
        self._hashes: dict[str, list[blake2b]] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some more rows."""
        self.count += batch.num_rows
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            parts = list(_parts(column))
            hashes = self._hashes.setdefault(name, [blake2b() for _ in parts])
            for one, part in zip(hashes, parts, strict=True):
                one.update(np.ascontiguousarray(part).data)

    def columns(self) -> dict[str, str]:
        """Of each column the hash of all its values."""
        return {
            name: blake2b(b"".join(one.digest() for one in hashes), digest_size=16).hexdigest()
            for name, hashes in self._hashes.items()
        }


def _parts(column: pa.Array) -> Iterator[np.ndarray]:
    """What a column is made of, as plain arrays: what is null, how long texts and lists are."""
    yield column.is_null().to_numpy(zero_copy_only=False)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        yield from _parts(column.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = pa.concat_arrays([column.cast(pa.large_string()).fill_null("")])
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        yield np.diff(ends)
        yield np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    elif pa.types.is_boolean(kind):
        yield column.fill_null(False).to_numpy(zero_copy_only=False)
    else:
        yield column.fill_null(0).to_numpy(zero_copy_only=False)
