"""G: does the traffic look like that of real networks, and did it stay in the lab?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from audit.data import AuditData, Bools, Floats
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure
from topologies.document import read_source, validate
from topologies.schema import Model

REFERENCE: Final = Path(__file__).parents[1] / "reference.yaml"
TCP, UDP = 6, 17
HTTPS: Final = 443
TAIL: Final = 0.05  # of the values make the tail
FEWEST: Final = 200  # values, to speak of a tail
PAUSE_S: Final = 1.0  # a shorter gap is a page being loaded, not a person thinking


class Measure(Model):
    """What one measure is in real networks, and who says so."""

    title: str
    low: float
    high: float
    measured: dict[str, float] = Field(description="of real captures, by who collected them")
    source: str


class Reference(Model):
    """The reference summary."""

    measures: dict[str, Measure]


@check(
    "G1",
    "share of the measures of realism that are outside the range of real networks",
    remedy=(
        "see the evidence: more lookups, IPv6 (subnet6), QUIC (http3), files and pauses of wider "
        "spread in the topology; or say on the card what the lab is for"
    ),
    needs=("flows",),
)
def realism(data: AuditData, allowed: Threshold) -> Finding:
    """Protocols, IPv6 and QUIC by flows or bytes, and how heavy the tails of flow sizes and of
    pauses are, each beside a range from real captures and print (`audit/reference.yaml`).
    """
    reference = validate(read_source(REFERENCE), Reference).model.measures
    found = _measured(data)
    if not found:
        return nothing_to_measure("no protocol, addresses, bytes or times by our names")
    outside = [name for name, value in found.items() if not _fits(value, reference[name])]
    said = []
    for name, value in found.items():
        one = reference[name]
        mark = "  (outside)" if name in outside else ""
        said.append(f"{one.title}: {value:.3g}; real {one.low:g} to {one.high:g}{mark}")
    return at_most(len(outside) / len(found), allowed.limit, *said)


@check(
    "G2",
    "addresses outside the lab that were reached",
    remedy=(
        "stop: a lab must not reach anybody. Find the program that did in the evidence, and the "
        "route that it took; destroy the captures if others' traffic is in them"
    ),
    needs=("facts",),
)
def left_the_lab(data: AuditData, allowed: Threshold) -> Finding:
    """Look at every address from which a packet was captured: those of a lab are reserved for
    benchmarks (198.18.0.0/15, 2001:2::/48), or of no network (link-local, multicast).
    """
    found: Counter[str] = Counter()
    for run in data.facts:
        found.update(run.outside)
    return at_most(
        len(found),
        allowed.limit,
        f"{len(data.facts)} runs",
        *(f"{address}: {count} flows" for address, count in found.most_common(20)),
    )


def _fits(value: float, one: Measure) -> bool:
    return one.low <= value <= one.high


def _measured(data: AuditData) -> dict[str, float]:
    """What of the measures can be told of a table."""
    protocol = data.values("protocol") if data.has("protocol") else None
    octets = _octets(data)
    found: dict[str, float] = {}
    if protocol is not None:
        found["udp_flows"] = float((protocol == UDP).mean())
        if octets is not None and octets.sum() > 0:
            found["tcp_bytes"] = _share(octets, protocol == TCP)
            if data.has("dst_port"):
                quic = (protocol == UDP) & (data.values("dst_port") == HTTPS)
                found["quic_bytes"] = _share(octets, np.asarray(quic, dtype=np.bool_))
    if data.has("src_ip"):
        colons = pc.match_substring(data.column("src_ip"), ":")
        found["ipv6_flows"] = float(pc.mean(colons.cast("int8")).as_py() or 0.0)
    if octets is not None and len(octets) >= FEWEST:
        found["size_tail"] = tail_index(octets)
    pauses = _pauses(data)
    if len(pauses) >= FEWEST:
        found["think_tail"] = tail_index(pauses)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def tail_index(values: Floats) -> float:
    """Hill's estimate of the index of a Pareto tail; small is heavy, infinite is no tail.

    Source: B. M. Hill, Annals of Statistics 3 (1975) 1163-1174.

    >>> pareto = (1 - np.arange(10_000) / 10_000) ** (-1 / 1.5)
    >>> round(tail_index(pareto), 1)
    1.5
    """
    ordered = np.sort(values[values > 0])
    count = int(len(ordered) * TAIL)
    if count < 2:
        return float("inf")
    logs = np.log(ordered[-count:] / ordered[-count - 1])
    mean = float(logs.mean())
    return 1 / mean if mean > 0 else float("inf")


def _octets(data: AuditData) -> Floats | None:
    names = [name for name in ("c2s_ip_bytes", "s2c_ip_bytes") if data.has(name)]
    if not names:
        return None
    total = np.sum([data.values(name) for name in names], axis=0)
    return np.asarray(np.nan_to_num(total), dtype=np.float64)


def _share(weights: Floats, chosen: Bools) -> float:
    return float(weights[chosen].sum() / weights.sum())


def _pauses(data: AuditData) -> Floats:
    """Seconds from one flow of a client to its next, where it did nothing for a second or more."""
    if not ({"run", "host"} <= data.context.keys() and data.has("first_ns")):
        return np.zeros(0)
    run, host = data.codes("run")[0], data.codes("host")[0]
    begin = data.values("first_ns")
    order = np.lexsort((begin, host, run))
    same = (np.diff(run[order]) == 0) & (np.diff(host[order]) == 0)
    gaps = np.diff(begin[order])[same] / 1e9
    return np.asarray(gaps[gaps >= PAUSE_S], dtype=np.float64)
