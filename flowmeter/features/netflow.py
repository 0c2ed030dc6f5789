"""The fields of a NetFlow record that are no key and no time, and I-LADS's four derived ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from flowmeter.core.layout import C2S, S2C
from flowmeter.features.columns import Column, Columns, Compute, flow_field, lasting_s
from flowmeter.features.feature import Dtype, Feature

SETS: Final = ("netflow",)
RECORD: Final = "NetFlow v9 (RFC 3954); I-LADS, table 1"
DERIVED: Final = "I-LADS, section 3.2.2"
FLAG_BITS: Final = {
    "fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ece": 64, "cwr": 128,
}  # fmt: skip


def features() -> Iterator[Feature]:
    """Group netflow."""
    rows: tuple[tuple[str, str, Dtype, str, str, Compute], ...] = (
        ("tcp_flags", "1", "int32", "TCP flags of all packets, both directions, or-ed", RECORD,
         _flags),
        ("packets", "packets", "int32", "packets, both directions", RECORD, flow_field("packets")),
        ("ip_bytes", "bytes", "int64", "sum of IP packet lengths, both directions", RECORD,
         _ip_bytes),
        ("flows", "flows", "int32", "flows in the record: always 1, as none are merged", RECORD,
         _flows),
        ("tos", "1", "int32", "type of service (traffic class) of the first packet", RECORD,
         flow_field("tos")),
        ("packet_rate_pps", "1/s", "float32",
         "packets over the flow's duration, both directions; NaN if that is 0", DERIVED,
         lambda columns: columns.flow("packets") / lasting_s(columns)),
        ("ip_bytes_per_s", "bytes/s", "float32",
         "IP bytes over the flow's duration, both directions; NaN if that is 0", DERIVED,
         lambda columns: _ip_bytes(columns) / lasting_s(columns)),
        ("packets_per_flow", "packets", "float32", "packets over flows in the record", DERIVED,
         flow_field("packets")),
        ("ip_bytes_per_flow", "bytes", "float32", "IP bytes over flows in the record", DERIVED,
         _ip_bytes),
    )  # fmt: skip
    for name, unit, dtype, text, source, compute in rows:
        yield Feature(name, unit, dtype, "netflow", text, source, compute, SETS)


def _flags(columns: Columns) -> Column:
    flags = np.zeros(len(columns), np.int32)
    for name, bit in FLAG_BITS.items():
        seen = columns.side(name)
        flags |= np.where((seen[0] | seen[1]) != 0, np.int32(bit), np.int32(0))
    return flags


def _ip_bytes(columns: Columns) -> Column:
    both = columns.side("ip_bytes")
    total: Column = both[C2S] + both[S2C]
    return total


def _flows(columns: Columns) -> Column:
    return np.ones(len(columns), np.int32)
