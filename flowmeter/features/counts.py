"""Packets and bytes: how many, of which kind, how large, and per second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from flowmeter.core.layout import C2S, FIRST_PAYLOADS, S2C
from flowmeter.features.columns import (
    Column,
    Columns,
    Compute,
    divisor,
    known,
    lasting_s,
    packets,
    side_field,
)
from flowmeter.features.feature import (
    BASIC,
    BASIC_TSTAT,
    FULL,
    IP_LENGTH,
    PAYLOAD,
    TCP_FLAGS,
    TIMES,
    TSTAT,
    Feature,
    each_side,
)

FLAGS: Final = {
    "fin": BASIC_TSTAT, "syn": BASIC_TSTAT, "rst": BASIC_TSTAT, "psh": BASIC, "ack": BASIC_TSTAT,
    "urg": FULL, "ece": FULL, "cwr": FULL,
}  # fmt: skip
# c * log2(c): a look-up is faster than a logarithm, and the same on every processor.
_TABLE: Final = np.array([count * math.log2(count or 1) for count in range(1024)])


def features() -> Iterator[Feature]:
    """Groups rates, first, counts, sizes and flags."""
    yield from _rates()
    yield from _first_payloads()
    yield from _counts()
    yield from _sizes()
    for flag, sets in FLAGS.items():
        yield from each_side(
            f"{flag}_packets", "packets", "int32", "flags",
            f"TCP packets with {flag.upper()} set", TCP_FLAGS, side_field(flag), sets,
        )  # fmt: skip


def _counts() -> Iterator[Feature]:
    for name, field, text, source in (
        ("packets", "packets", "packets", "one per packet"),
        ("payload_packets", "payload_packets", "packets with payload", PAYLOAD),
        ("pure_ack_packets", "pure_acks",
         "TCP packets with ACK, no payload, and none of SYN, FIN, RST", TCP_FLAGS),
    ):  # fmt: skip
        yield from each_side(
            name, "packets", "int32", "counts", text, source, side_field(field), BASIC_TSTAT
        )


def _sizes() -> Iterator[Feature]:
    yield from each_side(
        "ip_bytes", "bytes", "int64", "sizes", "sum of IP packet lengths", IP_LENGTH,
        side_field("ip_bytes"), BASIC,
    )  # fmt: skip
    yield from each_side(
        "payload_bytes", "bytes", "int64", "sizes",
        "sum of TCP and UDP payload, {path}; a fragmented datagram counts whole, once", PAYLOAD,
        side_field("payload_bytes"), BASIC_TSTAT,
    )  # fmt: skip
    yield from each_side(
        "unique_payload_bytes", "bytes", "int64", "sizes",
        "TCP payload without what was sent before, {path}; for other protocols, all payload",
        "TCP sequence numbers (RFC 9293); Tstat's bytes_uniq", _unique_bytes, TSTAT,
    )  # fmt: skip
    for statistic in ("min", "max"):
        yield from each_side(
            f"payload_size_{statistic}_bytes", "bytes", "float32", "sizes",
            f"{statistic} of the payloads of packets with any, {{path}}; NaN if there is none",
            PAYLOAD, _payload_size(statistic), TSTAT,
        )  # fmt: skip
    yield from each_side(
        "size_entropy_bits", "bits", "float32", "sizes",
        "entropy of the histogram of IP packet lengths in 8 bins that end at 63, 127, 255, 511, "
        "1023, 1279, 1500 and infinity bytes, {path}; NaN without packets",
        f"Shannon 1948; {IP_LENGTH}", _entropy, FULL,
    )  # fmt: skip


def _rates() -> Iterator[Feature]:
    for name, unit, field, text in (
        ("packet_rate_pps", "1/s", "packets", "packets"),
        ("ip_bytes_per_s", "bytes/s", "ip_bytes", "IP bytes"),
    ):
        yield from each_side(
            name, unit, "float32", "rates",
            f"{text}, {{path}}, over the flow's duration; NaN if that is 0", TIMES,
            _rate(field), BASIC,
        )  # fmt: skip
    yield Feature(
        "down_up_bytes_ratio", "1", "float32", "rates",
        "IP bytes to the initiator over IP bytes from it; NaN if it sent none", IP_LENGTH,
        _down_up, BASIC,
    )  # fmt: skip


def _first_payloads() -> Iterator[Feature]:
    for position in range(FIRST_PAYLOADS):
        yield Feature(
            f"payload_{position + 1}_bytes", "bytes", "float32", "first",
            f"payload of packet {position + 1} among those with payload, negative from the "
            "responder; NaN if there were fewer",
            f"{PAYLOAD}; Bernaille, Teixeira, Salamatian 2006", _first_payload(position), BASIC,
        )  # fmt: skip


def _unique_bytes(columns: Columns) -> Column:
    return columns.side("payload_bytes") - columns.side("retransmitted_bytes")


def _payload_size(statistic: str) -> Compute:
    def compute(columns: Columns) -> Column:
        return known(columns.side(f"payload_{statistic}"), columns.side("payload_packets") > 0)

    return compute


def _rate(field: str) -> Compute:
    def compute(columns: Columns) -> Column:
        rate: Column = columns.side(field) / lasting_s(columns)
        return rate

    return compute


def _down_up(columns: Columns) -> Column:
    down_up: Column = columns.side("ip_bytes")[S2C] / divisor(columns.side("ip_bytes")[C2S])
    return down_up


def _first_payload(position: int) -> Compute:
    def compute(columns: Columns) -> Column:
        sizes = columns.payloads()[position]
        return known(sizes, sizes != 0)

    return compute


def _entropy(columns: Columns) -> Column:
    """log2(n) - sum(c * log2(c)) / n over the bins' counts c."""
    bins = np.ascontiguousarray(columns.rows.sides["size_bins"].transpose(2, 1, 0))
    total = _c_log_c(bins).sum(axis=0)
    count = packets(columns)
    surprise = _c_log_c(columns.side("packets")) / count - total / count
    entropy: Column = np.maximum(surprise, 0.0)  # rounding may leave a hair below
    return entropy


def _c_log_c(counts: Column) -> Column:
    result: Column = _TABLE.take(counts, mode="clip")
    large = np.flatnonzero(counts >= len(_TABLE))
    if len(large):
        values = counts.ravel()[large]
        np.put(result, large, values * np.log2(values))
    return result
