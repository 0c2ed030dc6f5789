"""Finished flows as Arrow: the flow table's schema, and its columns from the core's records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from flowmeter.config import MeterConfig
from flowmeter.core.layout import Rows
from flowmeter.features import Column, Columns, feature_table
from flowmeter.features.compiled import kernel
from flowmeter.identity import EndPoints, addresses, flow_ids, numbers, repeated


class FixedColumn(NamedTuple):
    """A column that every flow table has, whatever features were chosen."""

    name: str
    kind: pa.DataType
    role: str
    unit: str
    group: str
    definition: str
    source: str


class SequenceColumn(NamedTuple):
    """A column with one number for each of a flow's first packets."""

    name: str
    kind: pa.DataType
    unit: str
    definition: str
    source: str


FIXED: Final = tuple(
    FixedColumn(*row)
    for row in (
        ("flow_id", pa.string(), "identity", "", "identity",
         "16 hex digits from run, network, end points, protocol and first_ns", "splitmix64"),
        ("run_id", pa.string(), "identity", "", "identity", "the run it was captured in", "run"),
        ("network", pa.string(), "identity", "", "identity", "the network it was captured on",
         "run"),
        ("src_ip", pa.string(), "key", "", "addresses", "address of the initiator", "IP header"),
        ("dst_ip", pa.string(), "key", "", "addresses", "address of the responder", "IP header"),
        ("src_port", pa.uint16(), "key", "", "ports", "port of the initiator; 0 without ports",
         "TCP, UDP or SCTP header"),
        ("dst_port", pa.uint16(), "key", "", "ports", "port of the responder; 0 without ports",
         "TCP, UDP or SCTP header"),
        ("protocol", pa.uint8(), "key", "", "protocol", "IP protocol: 6 TCP, 17 UDP",
         "IPv4 protocol; last IPv6 next header"),
        ("first_ns", pa.int64(), "time", "ns", "time", "first packet, since 1970-01-01 UTC",
         "packet time stamps"),
        ("last_ns", pa.int64(), "time", "ns", "time", "last packet, since 1970-01-01 UTC",
         "packet time stamps"),
        ("segment", pa.int32(), "meta", "", "meta",
         "0; 1 and more in what the active timeout cut off a longer flow", "flow meter"),
        ("origin_id", pa.string(), "meta", "", "meta",
         "flow_id of segment 0, which is the flow's own if it is none of several", "flow meter"),
        ("end_reason", pa.uint8(), "meta", "", "meta",
         "1 idle, 2 active timeout, 3 closed, 4 end of capture, 6 port reuse, 7 reset",
         "IPFIX flowEndReason (RFC 5102); 6 and 7 are finer kinds of its 3"),
    )
)  # fmt: skip
SEQUENCES: Final = (
    SequenceColumn("seq_size_bytes", pa.int32(), "bytes", "IP packet length", "IP header"),
    SequenceColumn("seq_direction", pa.int8(), "1",
                   "+1 from the initiator, -1 to it, 0 no packet", "IP header"),
    SequenceColumn("seq_iat_us", pa.float32(), "us",
                   "time since the flow's packet before; 0 for the first", "packet time stamps"),
    SequenceColumn("seq_flags", pa.uint8(), "1",
                   "TCP flags: 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK, 32 URG, 64 ECE, 128 CWR; 0 for "
                   "other protocols", "TCP flags (RFC 9293)"),
)  # fmt: skip
_ARROW: Final = {
    "int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64()
}  # fmt: skip
_ORDER: Final = (
    "first_ns", "src_ip", "src_port", "dst_ip", "dst_port", "protocol", "flow_id"
)  # fmt: skip


def flow_schema(config: MeterConfig | None = None) -> pa.Schema:
    """Columns of the flow table.

    The metadata of each says its role, unit, group, definition and source. A sequence is a list
    of fixed length; the feature set ``netflow`` has none.

    Examples
    --------
    >>> flow_schema(MeterConfig(features="netflow")).names[-1]
    'ip_bytes_per_flow'
    """
    config = config or MeterConfig()
    return _schema(config.features, config.sequence, config.recent_s > 0)


def record_batch(
    rows: Rows, config: MeterConfig | None = None, *, run_id: str = "", network: str = ""
) -> pa.RecordBatch:
    """Finished flows in the columns of `flow_schema`, in the order they come in.

    Parameters
    ----------
    rows
        They must not change afterwards: columns may share their memory.
    config
        The one that the engine had.
    run_id, network
        Go into the columns of those names, and into each ``flow_id``.
    """
    config = config or MeterConfig()
    schema = flow_schema(config)
    columns = [*_fixed(rows, run_id=run_id, network=network), *_features(rows, config)]
    kinds = [field.type for field in schema][len(columns) :]
    for kind, values in zip(kinds, _sequences(rows) if kinds else (), strict=True):
        flat = numbers(np.ascontiguousarray(values).reshape(-1))
        columns.append(pa.FixedSizeListArray.from_arrays(flat, type=kind))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def flow_table(batches: Iterable[pa.RecordBatch], config: MeterConfig | None = None) -> pa.Table:
    """One table of all flows, ordered by ``first_ns``, then key."""
    return in_order(pa.Table.from_batches(batches, flow_schema(config)))


def in_order(table: pa.Table) -> pa.Table:
    """The flows ordered by ``first_ns``, then key; the table may have more columns."""
    first_ns = _values(table["first_ns"])
    order = np.argsort(first_ns, kind="stable")
    # The key is compared only where times are equal: of most flows it never is.
    same = np.diff(first_ns[order]) == 0
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    if len(tied):
        rows = numbers(order[tied])
        keys = table.select(_ORDER).take(rows).append_column("row", rows)
        order[tied] = _values(keys.sort_by([(name, "ascending") for name in _ORDER])["row"])
    if (np.diff(order) == 1).all():
        return table.combine_chunks()
    # One column at a time: all at once would hold the table three times over.
    places = numbers(order)
    columns = [column.combine_chunks().take(places) for column in table.itercolumns()]
    return pa.Table.from_arrays(columns, schema=table.schema)


@lru_cache(maxsize=64)
def _schema(features: str, sequence: int, recent: bool) -> pa.Schema:
    fields = [
        _field(column.name, column.kind, role=column.role, unit=column.unit, group=column.group,
               definition=column.definition, source=column.source)
        for column in FIXED
    ]  # fmt: skip
    fields += [
        _field(feature.name, _ARROW[feature.dtype], role="feature", unit=feature.unit,
               group=feature.group, definition=feature.definition, source=feature.source)
        for feature in feature_table(features, recent=recent)
    ]  # fmt: skip
    if features != "netflow":
        fields += [
            _field(
                column.name,
                pa.list_(pa.field("element", column.kind, nullable=False), sequence),
                role="sequence",
                unit=column.unit,
                group="sequence",
                definition=f"first {sequence} packets: {column.definition}",
                source=column.source,
            )
            for column in SEQUENCES
        ]
    return pa.schema(fields)


def _values(column: pa.ChunkedArray) -> Column:
    # Arrow's own way to numpy loads pandas.
    parts = [np.from_dlpack(chunk) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _field(name: str, kind: pa.DataType, **metadata: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata=metadata)


def _fixed(rows: Rows, *, run_id: str, network: str) -> Iterator[pa.Array]:
    """The columns of `FIXED`."""
    flows, count = rows.flows, len(rows.flows)
    ends = EndPoints(flows)
    own_id, origin_id = flow_ids(flows, ends, run_id=run_id, network=network)
    yield own_id
    yield repeated(run_id, count)
    yield repeated(network, count)
    yield addresses(ends.version, ends.src_hi, ends.src_lo)
    yield addresses(ends.version, ends.dst_hi, ends.dst_lo)
    yield numbers(ends.src_port)
    yield numbers(ends.dst_port)
    yield numbers(ends.protocol)
    yield numbers(flows["first_ns"])
    yield numbers(flows["last_ns"])
    yield numbers(flows["segment"].astype(np.int32))
    yield origin_id
    yield numbers(flows["end_reason"])


def _features(rows: Rows, config: MeterConfig) -> Iterator[pa.Array]:
    columns, features = Columns(rows), feature_table(config.features, recent=config.recent_s > 0)
    compiled = kernel(features)
    made = compiled(columns) if compiled else {}
    for feature in features:
        if feature.name in made:
            yield made[feature.name]
        else:
            yield numbers(feature.compute(columns).astype(feature.dtype, copy=False))


def _sequences(rows: Rows) -> Iterator[Column]:
    """The columns of `SEQUENCES`, [n, N] each."""
    words = rows.words
    yield (words >> np.uint32(9)).astype(np.int32)
    backward = ((words >> np.uint32(7)) & np.uint32(2)).astype(np.int8)
    yield (words != 0).astype(np.int8) - backward
    yield rows.gaps
    yield words.astype(np.uint8)
