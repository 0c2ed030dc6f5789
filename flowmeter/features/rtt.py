"""Round trips: of the handshake, and of segments and their acknowledgements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from flowmeter.features.columns import Column, Columns, Compute, divisor, known, shared, side_field
from flowmeter.features.feature import BASIC, TSTAT, Feature, each_side
from flowmeter.features.moments import Sums, sums

SAMPLES: Final = (
    "round trip times: from a segment, {path}, to the acknowledgement of exactly its last byte; "
    "only of segments sent once, with none of those acknowledged sent later"
)
SOURCE: Final = "TCP sequence numbers (RFC 9293); Karn and Partridge 1987; Tstat's rtt"


def features() -> Iterator[Feature]:
    """Group rtt."""
    for name, text, begin, end in (
        ("handshake_rtt_ms", "SYN to the ACK that ends the handshake", "syn_ns", "ack_ns"),
        ("handshake_server_ms", "SYN to SYN-ACK", "syn_ns", "synack_ns"),
        ("handshake_client_ms", "SYN-ACK to the ACK after it", "synack_ns", "ack_ns"),
    ):
        yield Feature(
            name, "ms", "float32", "rtt",
            f"{text}; NaN unless all three were seen, once each, and fit each other",
            "packet time stamps; TCP flags, seq, ack (RFC 9293)", _handshake_ms(begin, end), BASIC,
        )  # fmt: skip
    for statistic in ("min", "mean", "max", "std"):
        yield from each_side(
            f"rtt_{statistic}_ms", "ms", "float32", "rtt", f"{statistic} of {SAMPLES}", SOURCE,
            _rtt(statistic), TSTAT,
        )  # fmt: skip
    yield from each_side(
        "rtt_samples", "samples", "int32", "rtt", f"number of {SAMPLES}", SOURCE,
        side_field("rtt_count"), TSTAT,
    )  # fmt: skip


@shared
def _handshaken(columns: Columns) -> Column:
    """Whether all three steps were seen and fit."""
    seen: Column = columns.flow("handshake_broken") == 0
    for moment in ("syn_ns", "synack_ns", "ack_ns"):
        seen = seen & (columns.flow(moment) >= 0)
    return seen


def _handshake_ms(begin: str, end: str) -> Compute:
    def compute(columns: Columns) -> Column:
        took_ns = columns.flow(end) - columns.flow(begin)
        return known(took_ns, _handshaken(columns), scale=1e-6)

    return compute


@shared
def _samples(columns: Columns) -> Sums:
    count = divisor(columns.side("rtt_count"))
    total, first = columns.side("rtt_sum"), columns.side("rtt_first")
    return sums(count, total, first, columns.side("rtt_d2"))


def _rtt(statistic: str) -> Compute:
    def compute(columns: Columns) -> Column:
        samples = _samples(columns)
        if statistic == "std":
            spread: Column = np.sqrt(samples.variance) * 1e-6
            return spread
        if statistic == "mean":
            mean: Column = columns.side("rtt_sum") / samples.number * 1e-6
            return mean
        return known(columns.side(f"rtt_{statistic}"), columns.side("rtt_count") > 0, scale=1e-6)

    return compute
