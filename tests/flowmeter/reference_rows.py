"""One flow's packets to its row, column by column, as the feature table defines them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from tests.flowmeter import reference_tcp
from tests.flowmeter.reference_numbers import (
    NAN,
    entropy_bits,
    extremes,
    mean,
    ms,
    ratio,
    shape,
    spread,
)
from tests.flowmeter.reference_packets import ACK, SYN, Seen

Sight = reference_tcp.Sight
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
SECOND = 10**9
BURST_GAP, IDLE_GAP = SECOND, 5 * SECOND
FIRST_PAYLOADS = 12
QUIC_LONG = 0xC0


def features(packets: Sequence[Sight]) -> dict[str, Any]:
    """Every feature of set ``full``."""
    first_ns = packets[0][1]
    times = [now_ns for _, now_ns, _ in packets]
    sides = [
        [(now_ns, p) for sent_up, now_ns, p in packets if sent_up is up] for up in (True, False)
    ]
    tcp = [p for p in packets if p[2].tcp is not None]
    row: dict[str, Any] = {"duration_s": (times[-1] - first_ns) / SECOND}
    row |= _gaps("", times) | _activity(times) | reference_tcp.handshake(tcp) | _hellos(packets)
    totals = [sum(p.ip_bytes for _, p in side) for side in sides]
    row["down_up_bytes_ratio"] = ratio(totals[1], totals[0])
    payloads = [p.payload if up else -p.payload for up, _, p in packets if p.payload]
    payloads = (payloads + [NAN] * FIRST_PAYLOADS)[:FIRST_PAYLOADS]
    row |= {f"payload_{at}_bytes": size for at, size in enumerate(payloads, start=1)}
    duration = Fraction(times[-1] - first_ns, SECOND)
    analysed = reference_tcp.analysed(tcp)
    for prefix, side, numbers in zip(("c2s", "s2c"), sides, analysed, strict=True):
        part = _counts(side) | _sizes(side) | _offsets(side, first_ns) | _stack(side)
        part |= _gaps("", [now_ns for now_ns, _ in side])
        part |= numbers if tcp else numbers | {"unique_payload_bytes": part["payload_bytes"]}
        part["packet_rate_pps"] = ratio(len(side), duration)
        part["ip_bytes_per_s"] = ratio(part["ip_bytes"], duration)
        row |= {f"{prefix}_{name}": value for name, value in part.items()}
    row |= _bursts(packets)
    return row


def sequences(packets: Sequence[Sight], length: int) -> dict[str, list[Any]]:
    first = packets[:length]
    times = [now_ns for _, now_ns, _ in first]
    padding = [0] * (length - len(first))
    return {
        "seq_size_bytes": [p.ip_bytes for _, _, p in first] + padding,
        "seq_direction": [1 if up else -1 for up, _, _ in first] + padding,
        "seq_iat_us": [0.0, *((b - a) / 1000 for a, b in pairwise(times)), *padding],
        "seq_flags": [p.flags for _, _, p in first] + padding,
    }


def _gaps(prefix: str, times: Sequence[int]) -> dict[str, float]:
    gaps = [after - before for before, after in pairwise(times)]
    row = {f"{prefix}iat_{name}_ms": value for name, value in spread(gaps, scale=10**6).items()}
    row[f"{prefix}iat_skewness"], row[f"{prefix}iat_kurtosis"] = shape(gaps)
    return row


def _activity(times: Sequence[int]) -> dict[str, float]:
    active, idle, began = [], [], times[0]
    for before, after in pairwise(times):
        if after - before > IDLE_GAP:
            active.append(before - began)
            idle.append(after - before)
            began = after
    active.append(times[-1] - began)
    row: dict[str, float] = {"idle_periods": len(idle)}
    for name, periods in (("active", active), ("idle", idle)):
        row |= {f"{name}_{key}_s": v for key, v in spread(periods, scale=SECOND).items()}
    return row


def _counts(side: Sequence[tuple[int, Seen]]) -> dict[str, Any]:
    packets = [packet for _, packet in side]
    row = {f"{flag}_packets": sum(p.flags >> bit & 1 for p in packets)
           for bit, flag in enumerate(FLAGS)}  # fmt: skip
    row["packets"] = len(packets)
    row["payload_packets"] = sum(p.payload > 0 for p in packets)
    row["pure_ack_packets"] = sum(p.tcp is not None and p.pure_ack for p in packets)
    row["ip_bytes"] = sum(p.ip_bytes for p in packets)
    row["payload_bytes"] = sum(p.payload for p in packets)
    row["sack_packets"] = sum("SAck" in p.options for p in packets)
    return row


def _sizes(side: Sequence[tuple[int, Seen]]) -> dict[str, float]:
    sizes = [packet.ip_bytes for _, packet in side]
    row = {f"size_{name}_bytes": value for name, value in spread(sizes).items()}
    row["size_skewness"], row["size_kurtosis"] = shape(sizes)
    row["size_entropy_bits"] = entropy_bits(sizes)
    loads = [packet.payload for _, packet in side if packet.payload]
    row["payload_size_min_bytes"], row["payload_size_max_bytes"] = extremes(loads)
    return row


def _offsets(side: Sequence[tuple[int, Seen]], first_ns: int) -> dict[str, float]:
    loads = [now_ns - first_ns for now_ns, packet in side if packet.payload]
    acks = [now_ns - first_ns for now_ns, packet in side if packet.flags & (ACK | SYN) == ACK]
    return {
        "first_payload_ms": ms(loads[0] if loads else None),
        "last_payload_ms": ms(loads[-1] if loads else None),
        "first_ack_ms": ms(acks[0] if acks else None),
    }


def _stack(side: Sequence[tuple[int, Seen]]) -> dict[str, float]:
    syns = [packet for _, packet in side if packet.flags & SYN]
    offered = [p.options for p in syns[:1]]
    row: dict[str, float] = {"initial_window_bytes": syns[0].tcp.window if syns else NAN}
    row["ttl_min"], row["ttl_max"] = extremes([packet.ttl for _, packet in side])
    for name, option in (("mss_bytes", "MSS"), ("window_scale", "WScale")):
        row[name] = next((options[option] for options in offered if option in options), NAN)
    for name, option in (
        ("sack_permitted", "SAckOK"), ("timestamps", "Timestamp"), ("fast_open", "TFO"),
    ):  # fmt: skip
        row[name] = int(any(option in options for options in offered))
    return row


def _bursts(packets: Sequence[Sight]) -> dict[str, float]:
    bursts: list[tuple[bool, list[tuple[int, int]]]] = []
    for up, now_ns, packet in packets:
        if not packet.payload:
            continue
        if not bursts or bursts[-1][0] is not up or now_ns - bursts[-1][1][-1][0] > BURST_GAP:
            bursts.append((up, []))
        bursts[-1][1].append((now_ns, packet.payload))
    row: dict[str, float] = {}
    for prefix, up in (("c2s", True), ("s2c", False)):
        mine = [burst for sent_up, burst in bursts if sent_up is up]
        row[f"{prefix}_bursts"] = len(mine)
        for name, values in (
            ("packets", [len(burst) for burst in mine]),
            ("bytes", [sum(size for _, size in burst) for burst in mine]),
        ):
            row[f"{prefix}_burst_{name}_mean"] = float(mean(values)) if values else NAN
            row[f"{prefix}_burst_{name}_max"] = max(values, default=NAN)
    return row


def _hellos(packets: Sequence[Sight]) -> dict[str, float]:
    names = ("client_version", "server_version", "client_hello_bytes", "server_hello_bytes")
    row = dict.fromkeys([*(f"tls_{name}" for name in names), "tls_first_data_ms"], NAN)
    quic: dict[bool, list[Seen]] = {True: [], False: []}
    row["quic_version"] = NAN
    for up, now_ns, packet in packets:
        head = packet.content
        if packet.tcp is not None and len(head) >= 5 and head[1] == 3:
            _tls(row, head, now_ns - packets[0][1])
        if packet.protocol == 17 and head and head[0] & QUIC_LONG == QUIC_LONG and len(head) >= 7:
            quic[up].append(packet)
            version = int.from_bytes(head[1:5], "big")
            if version and math.isnan(row["quic_version"]):
                row["quic_version"] = version
    for prefix, up in (("c2s", True), ("s2c", False)):
        row[f"{prefix}_quic_long_packets"] = len(quic[up])
        row[f"{prefix}_quic_initial_bytes"] = quic[up][0].payload if quic[up] else NAN
    return row


def _tls(row: dict[str, float], head: bytes, offset_ns: int) -> None:
    if head[0] == 23 and math.isnan(row["tls_first_data_ms"]):
        row["tls_first_data_ms"] = ms(offset_ns)
    if head[0] != 22 or len(head) < 11 or head[5] not in (1, 2):
        return
    who = "client" if head[5] == 1 else "server"
    if math.isnan(row[f"tls_{who}_version"]):
        row[f"tls_{who}_version"] = int.from_bytes(head[9:11], "big")
        row[f"tls_{who}_hello_bytes"] = int.from_bytes(head[6:9], "big")
