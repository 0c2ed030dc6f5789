"""TCP's repair work and flow control, and what a host's network stack offered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from flowmeter.core.layout import OPT_FASTOPEN, OPT_SACK_OK, OPT_TIMESTAMPS
from flowmeter.features.columns import Column, Columns, Compute, above_zero, known, side_field
from flowmeter.features.feature import FULL, TSTAT, Feature, each_side

ANOMALIES: Final = "Mellia, Meo, Muscariello 2005; Tstat"
SEQUENCE: Final = "TCP sequence numbers (RFC 9293); Tstat"
WINDOW: Final = "TCP window (RFC 9293), window scale (RFC 7323)"
IN_FLIGHT: Final = "TCP sequence and acknowledgement numbers (RFC 9293); Tstat's cwin"

# name, field of SIDE, definition, source, sets
_COUNTS: Final = (
    ("retransmitted_packets", "retransmitted",
     "packets of which any byte was seen before; SYN and FIN count as bytes", SEQUENCE, TSTAT),
    ("out_of_order_packets", "out_of_order",
     "packets on bytes not seen that begin before a segment seen and end before its end", SEQUENCE,
     TSTAT),
    ("duplicate_acks", "duplicate_acks",
     "pure ACKs that repeat number and window of the one before while data is outstanding",
     "RFC 5681", FULL),
    ("rto_retransmissions", "rto", "packets sent again after a timeout", ANOMALIES, TSTAT),
    ("fast_retransmissions", "fast",
     "packets sent again after three duplicate ACKs, before a timeout",
     f"{ANOMALIES}; RFC 5681", TSTAT),
    ("reordered_packets", "reordered", "packets that the network put out of order", ANOMALIES,
     TSTAT),
    ("duplicate_packets", "network_duplicates",
     "packets that the network delivered twice", ANOMALIES, TSTAT),
    ("unclassified_anomalies", "unknown_anomalies",
     "packets sent again or out of order for no reason that can be told", ANOMALIES, TSTAT),
    ("window_probes", "window_probes",
     "packets sent again to probe a window of 0", f"{ANOMALIES}; RFC 9293", TSTAT),
    ("unneeded_rto_retransmissions", "unneeded_rto",
     "packets sent again after a timeout although they had been acknowledged", ANOMALIES, TSTAT),
    ("unneeded_fast_retransmissions", "unneeded_fast",
     "packets sent again after duplicate ACKs although they had been acknowledged", ANOMALIES,
     TSTAT),
    ("syn_retransmissions", "syn_again", "SYNs sent again", "TCP flags; Tstat's syn_retx", TSTAT),
    ("sack_packets", "sack_packets", "packets with SACK blocks", "RFC 2018", TSTAT),
    ("zero_window_packets", "zero_windows", "packets that announce a window of 0", WINDOW, TSTAT),
)  # fmt: skip


def features() -> Iterator[Feature]:
    """Groups tcp and stack."""
    for name, field, text, source, sets in _COUNTS:
        yield from each_side(name, "packets", "int32", "tcp", text, source, side_field(field), sets)
    yield from each_side(
        "retransmitted_bytes", "bytes", "int64", "tcp", "payload bytes that were seen before",
        SEQUENCE, side_field("retransmitted_bytes"), TSTAT,
    )  # fmt: skip
    yield from _windows()
    yield from _stack()


def _windows() -> Iterator[Feature]:
    scaled = "announced window, scaled once both sides offered that"
    for name, text, both in (
        ("window_min_bytes", f"smallest {scaled}, above 0", above_zero("window_min")),
        ("window_max_bytes", f"largest {scaled}; packets with RST left out", _window_max),
    ):
        yield from each_side(
            name, "bytes", "float32", "tcp", f"{text}, {{path}}; NaN if there is none", WINDOW,
            both, TSTAT,
        )  # fmt: skip
    yield from each_side(
        "cwin_initial_bytes", "bytes", "float32", "tcp",
        "TCP payload sent before the first ACK of data, {path}", IN_FLIGHT,
        side_field("cwin_first"), TSTAT,
    )  # fmt: skip
    in_flight = "bytes in flight after a segment that is new and in order"
    for name, text, field in (
        ("cwin_min_bytes", f"fewest {in_flight}", "cwin_min"),
        ("cwin_max_bytes", f"most {in_flight}", "cwin_max"),
    ):
        yield from each_side(
            name, "bytes", "float32", "tcp", f"{text}, {{path}}; NaN if there are none",
            IN_FLIGHT, above_zero(field), TSTAT,
        )  # fmt: skip


def _stack() -> Iterator[Feature]:
    for statistic in ("min", "max"):
        yield from each_side(
            f"ttl_{statistic}", "hops", "float32", "stack",
            f"{statistic} of the time to live (hop limit)",
            "IPv4 TTL (RFC 791); IPv6 hop limit (RFC 8200)", _ttl(statistic), TSTAT,
        )  # fmt: skip
    yield from each_side(
        "initial_window_bytes", "bytes", "float32", "stack",
        "window field of the first SYN, {path}; NaN if none was seen", "TCP window (RFC 9293)",
        _at_least_zero("window"), FULL,
    )  # fmt: skip
    yield from each_side(
        "mss_bytes", "bytes", "float32", "stack",
        "maximum segment size that a SYN announced, {path}; NaN if none did", "RFC 9293",
        above_zero("mss"), TSTAT,
    )  # fmt: skip
    yield from each_side(
        "window_scale", "1", "float32", "stack",
        "window scale that a SYN offered, as a power of two, {path}; NaN if none did", "RFC 7323",
        _at_least_zero("window_scale"), TSTAT,
    )  # fmt: skip
    for name, bit, text, source, sets in (
        ("sack_permitted", OPT_SACK_OK, "selective acknowledgements", "RFC 2018", TSTAT),
        ("timestamps", OPT_TIMESTAMPS, "time stamps", "RFC 7323", TSTAT),
        ("fast_open", OPT_FASTOPEN, "fast open", "RFC 7413", FULL),
    ):
        yield from each_side(
            name, "1", "int32", "stack", f"1 if the TCP option for {text} was seen, {{path}}; or 0",
            source, _option(bit), sets,
        )  # fmt: skip


def _window_max(columns: Columns) -> Column:
    return known(columns.side("window_max"), columns.side("window_now") >= 0)


def _ttl(statistic: str) -> Compute:
    return lambda columns: known(columns.side(f"ttl_{statistic}"), columns.side("packets") > 0)


def _at_least_zero(field: str) -> Compute:
    return lambda columns: known(columns.side(field), columns.side(field) >= 0)


def _option(bit: int) -> Compute:
    return lambda columns: (columns.side("options") & np.uint8(bit)) != 0
