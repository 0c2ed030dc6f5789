"""Every feature of a flow, one row each; columns, schema and documentation come from here.

Two conventions hold throughout. What cannot be known is NaN: the spacing of a single packet, a
handshake that was not seen, the sizes of a silent side. Spreads are of the whole flow (divisor n).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from flowmeter.layout import C2S, FIRST_PAYLOADS, S2C, Rows
from topologies.errors import NotFoundError, Problem

Column: TypeAlias = npt.NDArray[np.generic]
Compute: TypeAlias = Callable[[Rows], Column]
Dtype: TypeAlias = Literal["int64", "float32", "float64"]
Group: TypeAlias = Literal["counts", "sizes", "timing", "flags", "rtt", "rates", "first", "stack"]
FEATURE_SETS: Final = {
    "basic": "what any flow shows in its own traffic; no TTL, no TCP window",
    "full": "every feature, with those of a host's network stack, by which a lab betrays itself",
}
DIRECTIONS: Final = (("c2s", "initiator to responder", C2S), ("s2c", "responder to initiator", S2C))
FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
IP_LENGTH: Final = "IPv4 total length; IPv6 payload length + 40"
TCP_FLAGS: Final = "TCP flags"
TIMES: Final = "packet time stamps"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: what it is called, what it means, and how it comes from a flow's counters.

    ``source`` names the header fields it is made of; ``compute`` turns `Rows` into a column.
    """

    name: str
    unit: str
    dtype: Dtype
    group: Group
    definition: str
    source: str
    compute: Compute
    sets: tuple[str, ...] = ("basic", "full")


def _ratio(above: Column, below: Column, *, scale: float = 1.0) -> Column:
    """``scale * above / below``, NaN where ``below`` is 0."""
    result = np.full(len(above), np.nan)
    known = below != 0
    result[known] = scale * above[known].astype(np.float64) / below[known].astype(np.float64)
    return result


def _known(values: Column, known: npt.NDArray[np.bool_], *, scale: float = 1.0) -> Column:
    return np.where(known, values.astype(np.float64) * scale, np.float64(np.nan))


def _count(field: str, side: int) -> Compute:
    def compute(rows: Rows) -> Column:
        column: Column = rows.sides[field][:, side]
        return column

    return compute


def _size(statistic: str, side: int) -> Compute:
    def compute(rows: Rows) -> Column:
        sides = rows.sides[:, side]
        if statistic == "std":
            return np.sqrt(_ratio(sides["size_m2"], sides["packets"]))
        if statistic == "mean":
            return _ratio(sides["ip_bytes"], sides["packets"])
        return _known(sides[f"size_{statistic}"], sides["packets"] > 0)

    return compute


def _iat(statistic: str, side: int | None) -> Compute:
    def compute(rows: Rows) -> Column:
        records = rows.flows if side is None else rows.sides[:, side]
        gaps = np.maximum(records["packets"] - 1, 0)
        if statistic == "std":
            spread: Column = np.sqrt(_ratio(records["iat_m2"], gaps)) * 1e-6
            return spread
        return _known(records[f"iat_{statistic}"], gaps > 0, scale=1e-6)

    return compute


def _duration_s(rows: Rows) -> Column:
    duration_s: Column = (rows.flows["last_ns"] - rows.flows["first_ns"]) * 1e-9
    return duration_s


def _first_payload_ms(side: int) -> Compute:
    def compute(rows: Rows) -> Column:
        at_ns = rows.sides["first_payload_ns"][:, side]
        return _known(at_ns - rows.flows["first_ns"], at_ns >= 0, scale=1e-6)

    return compute


def _handshake_ms(begin: str, end: str) -> Compute:
    def compute(rows: Rows) -> Column:
        flows = rows.flows
        known = (flows["syn_ns"] >= 0) & (flows["synack_ns"] >= 0) & (flows["ack_ns"] >= 0)
        known &= flows["handshake_broken"] == 0
        return _known(flows[end] - flows[begin], known, scale=1e-6)

    return compute


def _rate(field: str, side: int) -> Compute:
    return lambda rows: _ratio(rows.sides[field][:, side], _duration_s(rows))


def _down_up(rows: Rows) -> Column:
    return _ratio(rows.sides["ip_bytes"][:, S2C], rows.sides["ip_bytes"][:, C2S])


def _window(side: int) -> Compute:
    return lambda rows: _known(rows.sides["window"][:, side], rows.sides["window"][:, side] >= 0)


def _ttl(statistic: str, side: int) -> Compute:
    return lambda rows: _known(
        rows.sides[f"ttl_{statistic}"][:, side], rows.sides["packets"][:, side] > 0
    )


def _per_direction() -> Iterator[Feature]:
    for prefix, path, side in DIRECTIONS:
        yield from _counts(prefix, path, side)
        yield from _sizes(prefix, path, side)
        yield from _timing(prefix, path, side)
        yield from _flags(prefix, path, side)
        yield from _rates(prefix, path, side)
        yield from _stack(prefix, path, side)


def _counts(prefix: str, path: str, side: int) -> Iterator[Feature]:
    for name, unit, field, text, source in (
        ("packets", "packets", "packets", "packets", "one per packet"),
        ("payload_packets", "packets", "payload_packets", "packets with payload", "lengths"),
        ("pure_ack_packets", "packets", "pure_acks",
         "TCP packets with ACK, no payload, and none of SYN, FIN, RST", TCP_FLAGS),
    ):  # fmt: skip
        yield Feature(
            f"{prefix}_{name}", unit, "int64", "counts", f"{text}, {path}", source,
            _count(field, side),
        )  # fmt: skip


def _sizes(prefix: str, path: str, side: int) -> Iterator[Feature]:
    yield Feature(
        f"{prefix}_ip_bytes", "bytes", "int64", "sizes", f"sum of IP packet lengths, {path}",
        IP_LENGTH, _count("ip_bytes", side),
    )  # fmt: skip
    yield Feature(
        f"{prefix}_payload_bytes", "bytes", "int64", "sizes",
        f"sum of TCP and UDP payload, {path}; a fragmented datagram counts whole, once",
        "IP length less headers (TCP); UDP length - 8", _count("payload_bytes", side),
    )  # fmt: skip
    for statistic in ("min", "mean", "max", "std"):
        yield Feature(
            f"{prefix}_size_{statistic}_bytes", "bytes", "float32", "sizes",
            f"{statistic} of IP packet lengths, {path}", IP_LENGTH, _size(statistic, side),
        )  # fmt: skip


def _timing(prefix: str, path: str, side: int) -> Iterator[Feature]:
    for statistic in ("min", "mean", "max", "std"):
        yield Feature(
            f"{prefix}_iat_{statistic}_ms", "ms", "float32", "timing",
            f"{statistic} of the times between successive packets, {path}", TIMES,
            _iat(statistic, side),
        )  # fmt: skip
    yield Feature(
        f"{prefix}_first_payload_ms", "ms", "float32", "timing",
        f"from the flow's first packet to the first with payload, {path}", TIMES,
        _first_payload_ms(side),
    )  # fmt: skip


def _flags(prefix: str, path: str, side: int) -> Iterator[Feature]:
    for flag in FLAGS:
        sets = ("full",) if flag in ("urg", "ece", "cwr") else ("basic", "full")
        yield Feature(
            f"{prefix}_{flag}_packets", "packets", "int64", "flags",
            f"TCP packets with {flag.upper()} set, {path}", TCP_FLAGS, _count(flag, side), sets,
        )  # fmt: skip


def _rates(prefix: str, path: str, side: int) -> Iterator[Feature]:
    for name, unit, field, text in (
        ("packet_rate_pps", "1/s", "packets", "packets"),
        ("ip_bytes_per_s", "bytes/s", "ip_bytes", "IP bytes"),
    ):
        yield Feature(
            f"{prefix}_{name}", unit, "float32", "rates",
            f"{text}, {path}, over the flow's duration; NaN if that is 0", TIMES,
            _rate(field, side),
        )  # fmt: skip


def _stack(prefix: str, path: str, side: int) -> Iterator[Feature]:
    yield Feature(
        f"{prefix}_initial_window_bytes", "bytes", "float32", "stack",
        f"window field of the first SYN, {path}; NaN if none was seen", "TCP window",
        _window(side), ("full",),
    )  # fmt: skip
    for statistic in ("min", "max"):
        yield Feature(
            f"{prefix}_ttl_{statistic}", "hops", "float32", "stack",
            f"{statistic} of the time to live (hop limit), {path}", "IPv4 TTL; IPv6 hop limit",
            _ttl(statistic, side), ("full",),
        )  # fmt: skip


def _per_flow() -> Iterator[Feature]:
    yield Feature(
        "duration_s", "s", "float64", "timing", "from the first packet to the last", TIMES,
        _duration_s,
    )  # fmt: skip
    for statistic in ("min", "mean", "max", "std"):
        yield Feature(
            f"iat_{statistic}_ms", "ms", "float32", "timing",
            f"{statistic} of the times between successive packets, both directions", TIMES,
            _iat(statistic, None),
        )  # fmt: skip
    for name, text, begin, end in (
        ("handshake_rtt_ms", "SYN to the ACK that ends the handshake", "syn_ns", "ack_ns"),
        ("handshake_server_ms", "SYN to SYN-ACK", "syn_ns", "synack_ns"),
        ("handshake_client_ms", "SYN-ACK to the ACK after it", "synack_ns", "ack_ns"),
    ):
        yield Feature(
            name, "ms", "float32", "rtt",
            f"{text}; NaN unless all three were seen, once each, and fit each other",
            "packet time stamps; TCP flags, seq, ack", _handshake_ms(begin, end),
        )  # fmt: skip
    yield Feature(
        "down_up_bytes_ratio", "1", "float32", "rates",
        "IP bytes to the initiator over IP bytes from it; NaN if it sent none", IP_LENGTH, _down_up,
    )  # fmt: skip


def _first_payload(position: int) -> Compute:
    def compute(rows: Rows) -> Column:
        sizes = rows.payloads[:, position]
        return _known(sizes, sizes != 0)

    return compute


def _first_payloads() -> Iterator[Feature]:
    for position in range(FIRST_PAYLOADS):
        yield Feature(
            f"payload_{position + 1}_bytes", "bytes", "float32", "first",
            f"payload of packet {position + 1} among those with payload, negative from the "
            "responder; NaN if there were fewer", "lengths", _first_payload(position),
        )  # fmt: skip


FEATURES: Final[tuple[Feature, ...]] = (*_per_flow(), *_first_payloads(), *_per_direction())


def feature_table(features: str = "full") -> tuple[Feature, ...]:
    """The features of a set, in the order of the flow table's columns.

    Raises
    ------
    NotFoundError
        No set is called that.

    Examples
    --------
    >>> feature_table("basic")[0].name
    'duration_s'
    """
    if features not in FEATURE_SETS:
        raise NotFoundError(
            Problem(
                "features",
                path="",
                expected=f"one of the feature sets {', '.join(FEATURE_SETS)}",
                got=repr(features),
                remedy="name one of them",
            )
        )
    return tuple(feature for feature in FEATURES if features in feature.sets)
