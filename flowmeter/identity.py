"""Who a flow was between, as Arrow text: addresses as people write them, and flow ids.

Text is laid out by numpy for a whole batch at once, IPv4 addresses padded with NUL bytes that are
then left out: a Python loop over rows would cost more than all features together.
"""

from __future__ import annotations

import hashlib
import socket
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowmeter.core.layout import Bytes, Records
from flowmeter.features import Column

Words = npt.NDArray[np.uint64]
_OCTETS: Final = np.array([f"{octet}." for octet in range(256)], "S4").view(np.uint32)
_LAST_OCTETS: Final = np.array([str(octet) for octet in range(256)], "S4").view(np.uint32)
LONGEST_V4, LONGEST_V6 = 16, 40
_DIGITS: Final = np.array([len(str(octet)) for octet in range(256)], np.uint8)


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
    is_v6 = version == 6
    if not is_v6.any():
        return _text(*_v4(low))
    texts = np.zeros((len(version), LONGEST_V6), np.uint8)
    lengths = np.empty(len(version), np.uint8)
    v4, v6 = np.flatnonzero(~is_v6), np.flatnonzero(is_v6)
    texts[v4, :LONGEST_V4], lengths[v4] = _v4(low[v4])
    texts[v6], lengths[v6] = _v6(high[v6], low[v6])
    return _text(texts, lengths)


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


def _v4(low: Words) -> tuple[Bytes, Bytes]:
    """Texts, padded with NUL bytes, and their lengths."""
    octets = low.astype(">u4").view(np.uint8).reshape(-1, 4)
    texts = _OCTETS.take(octets)
    texts[:, 3] = _LAST_OCTETS.take(octets[:, 3])
    digits = _DIGITS.take(octets)
    lengths = digits[:, 0] + digits[:, 1] + digits[:, 2] + digits[:, 3] + np.uint8(3)
    return texts.view(np.uint8), lengths


def _v6(high: Words, low: Words) -> tuple[Bytes, Bytes]:
    """Texts, padded with NUL bytes, and their lengths."""
    words = np.empty((len(high), 2), ">u8")
    words[:, 0], words[:, 1] = high, low
    texts = [
        socket.inet_ntop(socket.AF_INET6, packed) for packed in words.view("V16").ravel().tolist()
    ]
    padded = np.array(texts, f"S{LONGEST_V6}").view(np.uint8).reshape(-1, LONGEST_V6)
    return padded, np.fromiter(map(len, texts), np.uint8, len(texts))


def _text(padded: Bytes, lengths: Bytes) -> pa.StringArray:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return _strings(offsets, padded.tobytes().translate(None, b"\0"))


def _strings(offsets: npt.NDArray[np.int32], text: bytes) -> pa.StringArray:
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
