"""What check G1 measures, of real captures: by Tstat's logs of the suites of nDPI and Zeek.

    python -m benchmarks.realism --logs $GSTA_DATA/tstat

Such suites hold a capture of each protocol, so they say how wide real traffic is, not what a
network's mix is; `audit/reference.yaml` names these numbers beside those of the literature. Bytes
are those of IP: Tstat's payload and 40 bytes a packet of TCP, 28 of UDP.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audit.checks.realism import FEWEST, HTTPS, PAUSE_S, tail_index
from benchmarks.timing import publish

SUITES = ("nDPI", "zeek")


@dataclass(frozen=True, slots=True)
class Flow:
    """What the measures need of a flow."""

    capture: str
    client: str
    tcp: bool
    quic: bool
    octets: int
    begin_s: float


def main() -> None:
    """Read, measure, publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--logs", type=Path, required=True)
    flows = [flow for path in sorted(options.parse_args().logs.iterdir()) for flow in read(path)]
    rows: list[list[object]] = []
    for suite in (*SUITES, ""):
        own = [flow for flow in flows if flow.capture.startswith(suite)]
        found = measures(own)
        rows.append(
            [suite or "both", len({flow.capture for flow in own}), len(own), *found.values()]
        )
    columns = ["suite", "captures", "flows", *found]
    publish("Realism of real captures", "python -m benchmarks.realism", columns, rows)


def read(path: Path) -> Iterator[Flow]:
    """The flows of one log; the names of its columns are in the first line."""
    capture, _, kind = path.name.rpartition(".log_")
    tcp = kind.startswith("tcp")
    with path.open(encoding="utf-8", errors="replace") as lines:
        head = next(lines).replace("#", " ").split()
        names = [name.partition(":")[0] for name in head if not name.isdigit()]
        for line in lines:
            row = dict(zip(names, line.split(" "), strict=False))
            counted = {
                what: int(row[f"c_{what}_all"]) + int(row[f"s_{what}_all"])
                for what in ("bytes", "pkts")
            }
            yield Flow(
                capture,
                row["c_ip"],
                tcp,
                quic=not tcp and str(HTTPS) in (row["c_port"], row["s_port"]),
                octets=counted["bytes"] + (40 if tcp else 28) * counted["pkts"],
                begin_s=float(row["first" if tcp else "c_first_abs"]) / 1e3,
            )


def measures(flows: list[Flow]) -> dict[str, float]:
    """What check G1 measures, by its names; NaN where too few values make a tail."""
    octets = np.array([flow.octets for flow in flows], dtype=np.float64)
    tcp = np.array([flow.tcp for flow in flows])
    begins = defaultdict(list)
    for flow in flows:
        begins[flow.capture, flow.client].append(flow.begin_s)
    gaps = np.concatenate([np.diff(np.sort(times)) for times in begins.values()])
    pauses = gaps[gaps >= PAUSE_S]
    return {
        "tcp_bytes": float(octets[tcp].sum() / octets.sum()),
        "udp_flows": float((~tcp).mean()),
        "ipv6_flows": float(np.mean([":" in flow.client for flow in flows])),
        "quic_bytes": float(octets[[flow.quic for flow in flows]].sum() / octets.sum()),
        "size_tail": tail_index(octets),
        "think_tail": tail_index(pauses) if len(pauses) >= FEWEST else float("nan"),
    }


if __name__ == "__main__":
    main()
