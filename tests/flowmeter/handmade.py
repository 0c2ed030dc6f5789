"""Finished flows in the core's layout, made by hand: what the tracker would leave, without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from flowmeter.core.layout import FIRST_PAYLOADS, FLOW, RECENT, SIDE, Record, Rows

NONE = -1
START_NS = 1_700_000_000 * 10**9
IDLE_NS, BURST_NS = 5 * 10**9, 10**9


def blank_rows(count: int, *, sequence: int = 20, recent: bool = False) -> Rows:
    """TCP flows over IPv4 without a packet, as the tracker opens them."""
    flows, sides = np.zeros(count, FLOW), np.zeros((count, 2), SIDE)
    flows["tag"] = (4 << 40) | (6 << 32)
    flows["client_low"] = 1
    for field in ("syn_ns", "synack_ns", "ack_ns", "tls_data_ns"):
        flows[field] = NONE
    for field in ("first_payload_ns", "last_payload_ns", "first_ack_ns", "window", "window_now",
                  "window_scale"):  # fmt: skip
        sides[field] = NONE
    return Rows(
        flows=flows,
        sides=sides,
        words=np.zeros((count, sequence), np.uint32),
        gaps=np.zeros((count, sequence), np.float32),
        payloads=np.zeros((count, FIRST_PAYLOADS), np.int32),
        recent=np.zeros(count if recent else 0, RECENT),
        slots=np.arange(count, dtype=np.int32),
    )


def random_rows(count: int, *, seed: int = 0, sequence: int = 20, recent: bool = True) -> Rows:
    """Flows with random numbers in every field, of a size that the field could hold in earnest."""
    rng = np.random.default_rng(seed)
    rows = blank_rows(count, sequence=sequence, recent=recent)
    for records in (rows.flows, rows.sides, rows.recent):
        for name in records.dtype.names or ():
            shape = records[name].shape
            records[name] = rng.integers(0, 100, shape) * (rng.random(shape) < 0.7)
    flows, sides = rows.flows, rows.sides
    flows["tag"] = (4 << 40) | (rng.choice([6, 17], count) << 32) | rng.integers(0, 2**32, count)
    for end in ("low", "high"):
        flows[f"{end}_lo"] = rng.integers(0, 2**32, count)
        flows[f"{end}_hi"] = 0
    flows["first_ns"] = START_NS + np.sort(rng.integers(0, 10**12, count))
    flows["last_ns"] = flows["first_ns"] + rng.integers(0, 10**10, count)
    flows["segment"] = rng.random(count) < 0.1
    flows["packets"] = sides["packets"].sum(axis=1)
    sides["first_ns"], sides["last_ns"] = flows["first_ns"][:, None], flows["last_ns"][:, None]
    rows.words[:] = rng.integers(0, 1500 << 9, rows.words.shape)
    rows.gaps[:] = rng.random(rows.gaps.shape)
    rows.payloads[:] = rng.integers(-1400, 1400, rows.payloads.shape)
    return rows


@dataclass(frozen=True)
class Sent:
    """A packet of a flow: when, by which side, and how long."""

    time_ns: int
    side: int
    ip_bytes: int
    payload: int


def rows_of(traffic: Sequence[Sent]) -> Rows:
    """One UDP flow of these packets."""
    rows = blank_rows(1)
    flow = rows.flows[0]
    times = [sent.time_ns for sent in traffic]
    flow["tag"] = (4 << 40) | (17 << 32)
    flow["first_ns"], flow["last_ns"], flow["packets"] = times[0], times[-1], len(traffic)
    _add_spread(flow, "iat", gaps_of(times))
    idles = [gap for gap in gaps_of(times) if gap > IDLE_NS]
    active = [part[-1].time_ns - part[0].time_ns for part in active_parts(traffic)]
    flow["idles"], flow["active_ns"] = len(idles), active_parts(traffic)[-1][0].time_ns
    for kind, finished in (("active", active[:-1]), ("idle", idles)):
        if finished:
            flow[f"{kind}_min"], flow[f"{kind}_max"] = min(finished), max(finished)
            flow[f"{kind}_sum"] = sum(finished)
            flow[f"{kind}_d2"] = float(sum(value**2 for value in finished))
    loaded = [sent for sent in traffic if sent.payload]
    for place, sent in enumerate(loaded[:FIRST_PAYLOADS]):
        rows.payloads[0, place] = sent.payload * (-1) ** sent.side
    for number in (0, 1):
        _fill_side(rows.sides[0, number], [sent for sent in traffic if sent.side == number])
        mine = [burst for burst in bursts_of(traffic) if burst[0].side == number]
        if mine:
            side = rows.sides[0, number]
            side["bursts"], side["burst_packets_max"] = len(mine), max(map(len, mine))
            side["burst_bytes_max"] = max(sum(sent.payload for sent in burst) for burst in mine)
    return rows


def _fill_side(side: Record, traffic: Sequence[Sent]) -> None:
    if not traffic:
        return
    sizes = [sent.ip_bytes for sent in traffic]
    times = [sent.time_ns for sent in traffic]
    side["packets"], side["ip_bytes"] = len(sizes), sum(sizes)
    side["first_ns"], side["last_ns"] = times[0], times[-1]
    side["ttl_min"] = side["ttl_max"] = 64
    _add_spread(side, "size", sizes)
    _add_spread(side, "iat", gaps_of(times))
    side["size_bins"] = histogram(sizes)
    loaded = [sent for sent in traffic if sent.payload]
    if loaded:
        payloads = [sent.payload for sent in loaded]
        side["payload_packets"], side["payload_bytes"] = len(payloads), sum(payloads)
        side["payload_min"], side["payload_max"] = min(payloads), max(payloads)
        side["first_payload_ns"] = loaded[0].time_ns
        side["last_payload_ns"] = loaded[-1].time_ns


def _add_spread(record: Record, prefix: str, values: Sequence[int]) -> None:
    """What one pass leaves of values: the first, the extremes, sums of powers."""
    if values:
        record[f"{prefix}_first"] = values[0]
        record[f"{prefix}_min"], record[f"{prefix}_max"] = min(values), max(values)
        for power in (2, 3, 4):
            powers = [(value - values[0]) ** power for value in values]
            record[f"{prefix}_d{power}"] = float(sum(powers))


def histogram(sizes: Sequence[int]) -> list[int]:
    edges = (0, 63, 127, 255, 511, 1023, 1279, 1500, 2**31)
    return [sum(low < size <= high for size in sizes) for low, high in pairwise(edges)]


def gaps_of(times: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(times)]


def active_parts(traffic: Sequence[Sent]) -> list[list[Sent]]:
    """The packets of each active period."""
    parts = [[traffic[0]]]
    for before, sent in pairwise(traffic):
        if sent.time_ns - before.time_ns > IDLE_NS:
            parts.append([])
        parts[-1].append(sent)
    return parts


def bursts_of(traffic: Sequence[Sent]) -> list[list[Sent]]:
    """The packets of each burst, both sides'."""
    bursts: list[list[Sent]] = []
    for sent in traffic:
        if not sent.payload:
            continue
        last = bursts[-1][-1] if bursts else None
        if last and last.side == sent.side and sent.time_ns - last.time_ns <= BURST_NS:
            bursts[-1].append(sent)
        else:
            bursts.append([sent])
    return bursts
