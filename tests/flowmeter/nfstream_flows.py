"""NFStream in another Python: its flows as plain values, to lay beside rows of the flow table."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

Key = tuple[int, str, int, str, int, int]
Flows = dict[Key, tuple[int, int, int, int]]
# Counts IP bytes (accounting mode 1); decodes tunnels no more than we do by default.
SCRIPT: Final = """
import json, sys
from nfstream import NFStreamer
for flow in NFStreamer(source=sys.argv[1], accounting_mode=1, n_dissections=0, decode_tunnels=False,
                       idle_timeout=120, active_timeout=1800, n_meters=1):
    print(json.dumps([flow.protocol, flow.src_ip, flow.src_port, flow.dst_ip, flow.dst_port,
                      flow.bidirectional_first_seen_ms, flow.src2dst_packets, flow.dst2src_packets,
                      flow.src2dst_bytes, flow.dst2src_bytes]))
"""


def flows(python: str, path: Path) -> Flows:
    """NFStream's TCP and UDP flows, by end points and millisecond of their begin."""
    command = [python, "-W", "ignore", "-c", SCRIPT, str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("[")]
    found = {tuple(line[:6]): tuple(line[6:]) for line in lines if line[0] in (6, 17)}
    return _unique(found, lines)


def of_rows(rows: Sequence[dict[str, Any]]) -> Flows:
    return {
        (
            row["protocol"], row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"],
            row["first_ns"] // 10**6,
        ): (row["c2s_packets"], row["s2c_packets"], row["c2s_ip_bytes"], row["s2c_ip_bytes"])
        for row in rows
    }  # fmt: skip


def _unique(found: dict[Any, Any], lines: Sequence[list[Any]]) -> Flows:
    """Only end points that have one flow in the capture: what splits flows is a choice."""
    ends = Counter(frozenset([(line[1], line[2]), (line[3], line[4])]) for line in lines)
    return {key: value for key, value in found.items()
            if ends[frozenset([(key[1], key[2]), (key[3], key[4])])] == 1}  # fmt: skip
