"""tcptrace's long output as values, to lay beside rows of the flow table."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

# Its column without the direction, and ours; a2b and b2a become c2s and s2c.
COLUMNS: Final = {
    "total_packets": "packets", "ack_pkts_sent": "ack_packets",
    "pure_acks_sent": "pure_ack_packets",
    "actual_data_bytes": "payload_bytes",
    "rexmt_data_pkts": "retransmitted_packets", "outoforder_pkts": "out_of_order_packets",
    "RTT_samples": "rtt_samples",
}  # fmt: skip
SIDES: Final = {"a2b": "c2s", "b2a": "s2c"}


def installed() -> bool:
    return shutil.which("tcptrace") is not None


def flows(path: Path) -> list[dict[str, Any]]:
    """Its connections: our columns' names, and the end points."""
    command = ["tcptrace", "-n", "-l", "-r", "--csv", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = list(csv.reader(lines, skipinitialspace=True))
    if not rows:
        return []
    names = [name.strip() for name in rows[0]]
    return [_named(dict(zip(names, row, strict=False))) for row in rows[1:] if len(row) > 10]


def _named(values: dict[str, str]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "ends": (values["host_a"], int(values["port_a"]), values["host_b"], int(values["port_b"]))
    }
    for name, ours in COLUMNS.items():
        for theirs, prefix in SIDES.items():
            text = values.get(f"{name}_{theirs}", "").strip()
            if text.isdigit():
                entry[f"{prefix}_{ours}"] = int(text)
    return entry


def joined(
    entries: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Connections that both have once, with as many packets."""
    by_ends: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["protocol"] == 6:
            ends = (row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"])
            by_ends.setdefault(ends, []).append(row)
    for entry in entries:
        match by_ends.get(entry["ends"], []):
            case [row] if row["c2s_packets"] == entry.get("c2s_packets"):
                yield entry, row
