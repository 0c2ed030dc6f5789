"""Who a flow was between, as Arrow text: addresses as people write them, and flow ids.

Text is laid out for a whole batch at once: a Python loop over rows would cost more than all
features together.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowmeter.core.addresses import LONGEST_TEXT, write_addresses
from flowmeter.core.layout import Bytes, Records
from flowmeter.features import Column

Words = npt.NDArray[np.uint64]


class EndPoints:
    """End points of flows, initiator first."""

    def __init__(self, flows: Records) -> None:
        low = flows["client_low"] == 1
        tag = flows["tag"]
        low_port, high_port = (tag >> 16).astype(np.uint16), tag.astype(np.uint16)
        self.version = (tag >> 40).astype(np.uint8)
        self.protocol = (tag >> 32).astype(np.uint8)
        self.src_port = np.where(low, low_port, high_port)
        self.dst_port = np.where(low, high_port, low_port)
        self.src_hi = np.where(low, flows["low_hi"], flows["high_hi"])
        self.src_lo = np.where(low, flows["low_lo"], flows["high_lo"])
        self.dst_hi = np.where(low, flows["high_hi"], flows["low_hi"])
        self.dst_lo = np.where(low, flows["high_lo"], flows["low_lo"])


def numbers(values: Column) -> pa.Array:
    """A column without missing values; no copy is made of what is contiguous."""
    # pa.array would do, but loads pandas (half a second) to ask whether this is one of its own.
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_kind(values.dtype), len(values), [None, pa.py_buffer(values)])


@lru_cache
def _kind(dtype: np.dtype[np.generic]) -> pa.DataType:
    return pa.from_numpy_dtype(dtype)


def repeated(text: str, count: int) -> pa.StringArray:
    """A column of one text."""
    encoded = text.encode()
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(len(encoded))
    return _strings(offsets, encoded * count)


def addresses(version: Column, high: Words, low: Words) -> pa.StringArray:
    """Addresses as people write them."""
    text: Bytes = np.empty(LONGEST_TEXT * len(version), np.uint8)
    ends = np.zeros(len(version) + 1, np.int32)
    write_addresses(version, high, low, text, ends)
    return _strings(ends, text[: ends[-1]])


def flow_ids(
    flows: Records, ends: EndPoints, *, run_id: str, network: str
) -> tuple[pa.StringArray, pa.StringArray]:
    """Ids of flows, and of the flows whose later segments they are: 16 hex digits each.

    An id is a 64-bit hash of run, network, end points, protocol, ``first_ns`` and what tells apart
    flows of one key that began in the same nanosecond.
    """
    text = f"{len(run_id)}:{run_id}{network}".encode()
    seed = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    value = np.full(len(flows), seed, np.uint64)
    ports = (ends.src_port.astype(np.uint64) << 16) | ends.dst_port
    kind = (ends.version.astype(np.uint64) << 8) | ends.protocol
    for word in (ends.src_hi, ends.src_lo, ends.dst_hi, ends.dst_lo, ports | (kind << 32)):
        value = _mixed(value ^ word.astype(np.uint64))
    own = _begun(value, flows["first_ns"], flows["ordinal"])
    later = np.flatnonzero(flows["segment"])
    if not len(later):
        texts = _hexadecimal(own)
        return texts, texts
    origin = own.copy()
    since_ns, ordinal = flows["origin_ns"][later], flows["origin_ordinal"][later]
    origin[later] = _begun(value[later], since_ns, ordinal)
    return _hexadecimal(own), _hexadecimal(origin)


def _begun(value: Words, first_ns: Column, ordinal: Column) -> Words:
    value = _mixed(value ^ first_ns.astype(np.uint64))
    return _mixed(value ^ ordinal.astype(np.uint64))


def _mixed(value: Words) -> Words:
    """The finaliser of splitmix64: every input bit changes every output bit."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _hexadecimal(values: Words) -> pa.StringArray:
    offsets = np.arange(0, 16 * len(values) + 1, 16, dtype=np.int32)
    return _strings(offsets, values.astype(">u8").tobytes().hex().encode())


def _strings(offsets: npt.NDArray[np.int32], text: bytes | Bytes) -> pa.StringArray:
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
