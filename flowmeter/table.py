"""Finished flows as Arrow: the flow table's schema, and its columns from the core's records."""

from __future__ import annotations

import hashlib
import socket
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowmeter.features import FEATURES, Column
from flowmeter.layout import SEQUENCE_LENGTH, Records, Rows

# name, arrow type, role, unit, group, definition
_FIXED: Final = (
    ("flow_id", pa.string(), "identity", "", "identity",
     "16 hex digits from run, network, end points, protocol and first_ns"),
    ("run_id", pa.string(), "identity", "", "identity", "the run it was captured in"),
    ("network", pa.string(), "identity", "", "identity", "the network it was captured on"),
    ("src_ip", pa.string(), "key", "", "addresses", "address of the initiator"),
    ("dst_ip", pa.string(), "key", "", "addresses", "address of the responder"),
    ("src_port", pa.uint16(), "key", "", "ports", "port of the initiator"),
    ("dst_port", pa.uint16(), "key", "", "ports", "port of the responder"),
    ("protocol", pa.uint8(), "key", "", "protocol", "IP protocol: 6 TCP, 17 UDP"),
    ("first_ns", pa.int64(), "time", "ns", "time", "first packet, since 1970-01-01 UTC"),
    ("last_ns", pa.int64(), "time", "ns", "time", "last packet, since 1970-01-01 UTC"),
)  # fmt: skip
_SEQUENCES: Final = (
    ("seq_size_bytes", pa.int32(), "bytes", "IP packet length"),
    ("seq_direction", pa.int8(), "1", "+1 from the initiator, -1 to it, 0 no packet"),
    ("seq_iat_us", pa.float32(), "us", "time since the flow's packet before; 0 for the first"),
)
_ARROW: Final = {"int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64()}


def _field(
    name: str, kind: pa.DataType, *, role: str, unit: str, group: str, definition: str
) -> pa.Field:
    metadata = {"role": role, "unit": unit, "group": group, "definition": definition}
    return pa.field(name, kind, nullable=False, metadata=metadata)


def flow_schema() -> pa.Schema:
    """Columns of the flow table; the metadata of each says role, unit, group and definition."""
    fields = [
        _field(name, kind, role=role, unit=unit, group=group, definition=definition)
        for name, kind, role, unit, group, definition in _FIXED
    ]
    fields += [
        _field(
            feature.name,
            _ARROW[feature.dtype],
            role="feature",
            unit=feature.unit,
            group=feature.group,
            definition=feature.definition,
        )
        for feature in FEATURES
    ]
    fields += [
        _field(
            name,
            pa.list_(pa.field("element", kind, nullable=False), SEQUENCE_LENGTH),
            role="sequence",
            unit=unit,
            group="sequence",
            definition=f"first {SEQUENCE_LENGTH} packets: {definition}",
        )
        for name, kind, unit, definition in _SEQUENCES
    ]
    return pa.schema(fields)


def flow_table(parts: list[Rows], *, run_id: str, network: str) -> pa.Table:
    """The table of all flows, ordered by ``first_ns``, then key."""
    schema = flow_schema()
    batches = [_batch(rows, schema, run_id=run_id, network=network) for rows in parts]
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    order = ("first_ns", "src_ip", "src_port", "dst_ip", "dst_port", "protocol", "flow_id")
    return table.sort_by([(name, "ascending") for name in order])


def _batch(rows: Rows, schema: pa.Schema, *, run_id: str, network: str) -> pa.RecordBatch:
    count = len(rows.flows)
    key = _Key(rows.flows)
    columns: dict[str, pa.Array] = {
        "flow_id": _flow_ids(rows.flows, key, run_id=run_id, network=network),
        "run_id": _strings([run_id], np.zeros(count, np.int32)),
        "network": _strings([network], np.zeros(count, np.int32)),
        "src_ip": _addresses(key.version, key.src_hi, key.src_lo),
        "dst_ip": _addresses(key.version, key.dst_hi, key.dst_lo),
        "src_port": _numbers(key.src_port),
        "dst_port": _numbers(key.dst_port),
        "protocol": _numbers(key.protocol),
        "first_ns": _numbers(rows.flows["first_ns"]),
        "last_ns": _numbers(rows.flows["last_ns"]),
    }
    for feature in FEATURES:
        columns[feature.name] = _numbers(feature.compute(rows).astype(feature.dtype))
    sequences: tuple[Column, ...] = (rows.sizes, rows.directions, rows.gaps)
    for (name, *_), values in zip(_SEQUENCES, sequences, strict=True):
        kind = schema.field(name).type
        columns[name] = pa.FixedSizeListArray.from_arrays(_numbers(values.reshape(-1)), type=kind)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _numbers(values: Column) -> pa.Array:
    # pa.array would do, but loads pandas (half a second) to ask whether this is one of its own.
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _strings(distinct: list[str], positions: Column) -> pa.Array:
    """Text column from its distinct values and which of them each row has."""
    encoded = [text.encode() for text in distinct]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    texts = pa.StringArray.from_buffers(
        len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))
    )
    return texts.take(_numbers(positions))


class _Key:
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


def _addresses(version: Column, high: Column, low: Column) -> pa.Array:
    """Addresses as people write them, each distinct one written once."""
    words = np.empty((len(version), 3), np.uint64)
    words[:, 0], words[:, 1], words[:, 2] = version, high, low
    distinct, positions = np.unique(words, axis=0, return_inverse=True)
    texts = [
        socket.inet_ntop(socket.AF_INET, int(lo).to_bytes(4))
        if ip == 4
        else socket.inet_ntop(socket.AF_INET6, int(hi).to_bytes(8) + int(lo).to_bytes(8))
        for ip, hi, lo in distinct
    ]
    return _strings(texts, positions.reshape(-1))


def _flow_ids(flows: Records, key: _Key, *, run_id: str, network: str) -> pa.Array:
    """A 64-bit hash of what makes a flow this flow, as 16 hex digits."""
    text = f"{len(run_id)}:{run_id}{network}".encode()
    seed = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    value = np.full(len(flows), seed, np.uint64)
    ports = (key.src_port.astype(np.uint64) << 16) | key.dst_port
    kind = (key.version.astype(np.uint64) << 8) | key.protocol
    words: tuple[Column, ...] = (
        key.src_hi, key.src_lo, key.dst_hi, key.dst_lo, ports | (kind << 32),
        flows["first_ns"], flows["ordinal"],
    )  # fmt: skip
    for word in words:
        value = _mixed(value ^ word.astype(np.uint64))
    hexadecimal = value.astype(">u8").tobytes().hex().encode()
    offsets = np.arange(0, 16 * len(flows) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(flows), pa.py_buffer(offsets), pa.py_buffer(hexadecimal))


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64: every input bit changes every output bit."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
