"""Sizes and gaps by minimum, mean, maximum and spread, and when things happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from flowmeter.features.columns import (
    Column,
    Columns,
    Compute,
    duration_s,
    known,
    packets,
    since_start_ms,
)
from flowmeter.features.feature import (
    BASIC,
    BASIC_TSTAT,
    FEATURE_SETS,
    IP_LENGTH,
    TCP_FLAGS,
    TIMES,
    TSTAT,
    Feature,
    each_side,
)
from flowmeter.features.moments import flow_gaps, side_gaps, sizes

STATISTICS: Final = ("min", "mean", "max", "std")


def features() -> Iterator[Feature]:
    """Group timing, and the sizes that are spread like gaps."""
    yield Feature(
        "duration_s", "s", "float64", "timing", "from the first packet to the last", TIMES,
        duration_s, tuple(FEATURE_SETS),
    )  # fmt: skip
    for statistic in STATISTICS:
        yield Feature(
            f"iat_{statistic}_ms", "ms", "float32", "timing",
            f"{statistic} of the times between successive packets, both directions", TIMES,
            _flow_iat(statistic), BASIC,
        )  # fmt: skip
    for statistic in STATISTICS:
        yield from each_side(
            f"iat_{statistic}_ms", "ms", "float32", "timing",
            f"{statistic} of the times between successive packets", TIMES, _side_iat(statistic),
            BASIC,
        )  # fmt: skip
    for name, field, text, source, sets in (
        ("first_payload_ms", "first_payload_ns", "the first with payload", TIMES, BASIC_TSTAT),
        ("last_payload_ms", "last_payload_ns", "the last with payload", TIMES, TSTAT),
        ("first_ack_ms", "first_ack_ns", "the first with ACK and without SYN",
         f"{TIMES}; {TCP_FLAGS}", TSTAT),
    ):  # fmt: skip
        yield from each_side(
            name, "ms", "float32", "timing", f"from the flow's first packet to {text}", source,
            _moment(field), sets,
        )  # fmt: skip
    for statistic in STATISTICS:
        yield from each_side(
            f"size_{statistic}_bytes", "bytes", "float32", "sizes",
            f"{statistic} of IP packet lengths", IP_LENGTH, _size(statistic), BASIC,
        )  # fmt: skip


def _size(statistic: str) -> Compute:
    def compute(columns: Columns) -> Column:
        if statistic == "std":
            return _root(sizes(columns).variance)
        if statistic == "mean":
            mean: Column = columns.side("ip_bytes") / packets(columns)
            return mean
        return known(columns.side(f"size_{statistic}"), columns.side("packets") > 0)

    return compute


def _side_iat(statistic: str) -> Compute:
    def compute(columns: Columns) -> Column:
        number, variance = side_gaps(columns).number, side_gaps(columns).variance
        if statistic == "std":
            return _root(variance) * 1e-6
        if statistic == "mean":
            mean: Column = (columns.side("last_ns") - columns.side("first_ns")) / number * 1e-6
            return mean
        return known(columns.side(f"iat_{statistic}"), columns.side("packets") > 1, scale=1e-6)

    return compute


def _flow_iat(statistic: str) -> Compute:
    def compute(columns: Columns) -> Column:
        number, variance = flow_gaps(columns).number, flow_gaps(columns).variance
        if statistic == "std":
            return _root(variance) * 1e-6
        if statistic == "mean":
            mean: Column = (columns.flow("last_ns") - columns.flow("first_ns")) / number * 1e-6
            return mean
        return known(columns.flow(f"iat_{statistic}"), columns.flow("packets") > 1, scale=1e-6)

    return compute


def _moment(field: str) -> Compute:
    return lambda columns: since_start_ms(columns.side(field), columns)


def _root(variance: Column) -> Column:
    root: Column = np.sqrt(variance)
    return root
