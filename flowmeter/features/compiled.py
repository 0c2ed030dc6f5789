"""All features of finished flows at once, by machine code made of their definitions.

One pass over the columns instead of hundreds, each of which would ask Python for the next. The code
is made at the first use and kept, as that of the core's loops is (`flowmeter.core.jit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pyarrow as pa

from flowmeter.core.jit import COMPILING, RUNS, Entry
from flowmeter.core.layout import LINE_BYTES
from flowmeter.core.machine import WORDS_AT, Loaded, find, keep, sources
from flowmeter.features.columns import Column, Columns
from flowmeter.features.feature import Feature

OUTPUT: Final = "="  # before a feature's name, among the columns that the code takes


class Kernel:
    """Machine code for some features.

    Attributes
    ----------
    names
        The features whose values it gives.
    """

    def __init__(self, loaded: Loaded, features: Sequence[Feature]) -> None:
        self._call = Entry(loaded)
        self._inputs = [name.split(" ") for name in loaded.signature if name[0] != OUTPUT]
        self.names = [name[1:] for name in loaded.signature if name[0] == OUTPUT]
        kinds = {feature.name: np.dtype(feature.dtype) for feature in features}
        self._kinds = [kinds[name] for name in self.names]

    def __call__(self, columns: Columns) -> Mapping[str, pa.Array]:
        """The features' columns, in one piece of memory."""
        count = len(columns)
        # A line more for each: columns a power of two apart would share few places in the caches.
        sizes = [(count * kind.itemsize // LINE_BYTES + 2) * LINE_BYTES for kind in self._kinds]
        begins = np.cumsum([0, *sizes]).tolist()
        memory = np.empty(begins[-1], np.uint8)
        words = [0] * (WORDS_AT // 8) + [count]
        words += [_address(_input(columns, *wanted)) for wanted in self._inputs]
        words += [_address(memory) + begin for begin in begins[:-1]]
        self._call(words)
        buffer = pa.py_buffer(memory)
        return {
            name: pa.Array.from_buffers(
                _arrow(kind), count, [None, buffer.slice(begin, count * kind.itemsize)]
            )
            for name, kind, begin in zip(self.names, self._kinds, begins[:-1], strict=True)
        }


@lru_cache
def kernel(features: tuple[Feature, ...]) -> Kernel | None:
    """The code for these features; None where no such code runs."""
    if not RUNS:
        return None
    names = " ".join(feature.name for feature in features)
    key = blake2b(f"{sources()} {names}".encode(), digest_size=16).hexdigest()
    title = f"features-{key[:8]}"
    with COMPILING:
        loaded = find(title, key) or _made(title, key, features)
    return Kernel(loaded, features) if loaded else None


def _made(title: str, key: str, features: Sequence[Feature]) -> Loaded | None:
    from flowmeter.core.compiling import assembled
    from flowmeter.core.elf import UnlinkableError
    from flowmeter.core.entering import ENTRY
    from flowmeter.features.lowering import lowered
    from flowmeter.features.recording import record

    recording = record(features)
    inputs = [f"{record} {field}" for record, field in recording.inputs]
    outputs = [f"{OUTPUT}{name}" for name in recording.outputs]
    try:
        return keep(title, key, assembled(lowered(recording, ENTRY), (*inputs, *outputs)))
    except (UnlinkableError, OSError):
        return None


def _input(columns: Columns, record: str, field: str) -> Column:
    """Columns that follow each other in memory."""
    if record == "payload":
        return columns.payloads()
    if record == "side":
        return columns.side(field)
    return columns.flow(field) if record == "flow" else columns.recent(field)


def _address(column: Column) -> int:
    address: int = column.__array_interface__["data"][0]
    return address


@lru_cache
def _arrow(dtype: np.dtype[Any]) -> pa.DataType:
    return pa.from_numpy_dtype(dtype)
