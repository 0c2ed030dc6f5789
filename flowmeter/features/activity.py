"""Bursts of one side, and active and idle periods of the flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from flowmeter.features.columns import (
    Column,
    Columns,
    Compute,
    divisor,
    flow_field,
    known,
    shared,
    side_field,
)
from flowmeter.features.feature import FULL, PAYLOAD, TIMES, Feature, each_side

BURST: Final = (
    "a burst is packets with payload, {path}, with none the other way between them and no gap "
    "above 1 s"
)
ACTIVE: Final = "active periods: packets without a gap above 5 s, 0 s for a lone packet"
IDLE: Final = "idle periods: gaps above 5 s between packets of the flow; NaN if there are none"
SOURCE: Final = f"{TIMES}; CICFlowMeter (Lashkari et al. 2017), with an idle timeout of 5 s"
# Squares are summed as they are, not from the first period on, so their rounding is coarser.
NO_SPREAD: Final = 1e-12


class Periods(NamedTuple):
    """Statistics of one kind of period, ns, except for the number."""

    number: Column  # NaN where 0
    low: Column
    high: Column
    total: Column
    squares: Column


def features() -> Iterator[Feature]:
    """Groups bursts and activity."""
    for name, unit, dtype, text, both in (
        ("bursts", "bursts", "int32", "number of bursts", side_field("bursts")),
        ("burst_packets_mean", "packets", "float32", "packets per burst; NaN without bursts",
         _per_burst("payload_packets")),
        ("burst_packets_max", "packets", "int32", "most packets in a burst",
         side_field("burst_packets_max")),
        ("burst_bytes_mean", "bytes", "float32", "payload bytes per burst; NaN without bursts",
         _per_burst("payload_bytes")),
        ("burst_bytes_max", "bytes", "int32", "most payload bytes in a burst",
         side_field("burst_bytes_max")),
    ):  # fmt: skip
        yield from each_side(
            name, unit, "int32" if dtype == "int32" else "float32", "bursts",
            f"{text}; {BURST}", f"{PAYLOAD}; {TIMES}", both, FULL,
        )  # fmt: skip
    for kind, text in (("active", ACTIVE), ("idle", IDLE)):
        for statistic in ("min", "mean", "max", "std"):
            yield Feature(
                f"{kind}_{statistic}_s", "s", "float32", "activity", f"{statistic} of {text}",
                SOURCE, _period(kind, statistic), FULL,
            )  # fmt: skip
    yield Feature(
        "idle_periods", "periods", "int32", "activity",
        "number of gaps above 5 s between packets of the flow", SOURCE, flow_field("idles"), FULL,
    )  # fmt: skip


def _per_burst(field: str) -> Compute:
    def compute(columns: Columns) -> Column:
        mean: Column = columns.side(field) / divisor(columns.side("bursts"))
        return mean

    return compute


@shared
def _active(columns: Columns) -> Periods:
    """Active periods: those the core has finished, and the one that the last packet ends."""
    idles = columns.flow("idles")
    last = columns.flow("last_ns") - columns.flow("active_ns")
    low, high = columns.flow("active_min"), columns.flow("active_max")
    before = idles > 0
    return Periods(
        number=idles + 1.0,
        low=np.where(before, np.minimum(low, last), last),
        high=np.where(before, np.maximum(high, last), last),
        total=columns.flow("active_sum") + last,
        squares=columns.flow("active_d2") + last.astype(np.float64) ** 2,
    )


@shared
def _idle(columns: Columns) -> Periods:
    idles = columns.flow("idles")
    low, high = columns.flow("idle_min"), columns.flow("idle_max")
    return Periods(
        number=divisor(idles),
        low=known(low, idles > 0),
        high=known(high, idles > 0),
        total=columns.flow("idle_sum"),
        squares=columns.flow("idle_d2"),
    )


def _period(kind: str, statistic: str) -> Compute:
    def compute(columns: Columns) -> Column:
        periods = _active(columns) if kind == "active" else _idle(columns)
        result: Column
        if statistic in ("min", "max"):
            result = periods.low if statistic == "min" else periods.high
        elif statistic == "mean":
            result = periods.total / periods.number
        else:
            square = periods.squares / periods.number
            variance = square - (periods.total / periods.number) ** 2
            result = np.sqrt(np.where(variance < NO_SPREAD * square, 0.0, variance))
        return result * 1e-9

    return compute
