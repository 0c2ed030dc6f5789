"""Tstat's logs beside rows of the flow table: which column is which, and whether they agree."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Row = Mapping[str, Any]
JOIN_MS: Final = 1.0
# Of each side: the log's column without c_ or s_, and ours without c2s_ or s2c_.
COUNTS: Final = {
    "pkts_all": "packets", "rst_cnt": "rst_packets", "ack_cnt": "ack_packets",
    "ack_cnt_p": "pure_ack_packets", "pkts_data": "payload_packets", "bytes_all": "payload_bytes",
    "syn_cnt": "syn_packets", "fin_cnt": "fin_packets",
}  # fmt: skip
LOSS: Final = {
    "bytes_uniq": "unique_payload_bytes", "pkts_retx": "retransmitted_packets",
    "bytes_retx": "retransmitted_bytes", "pkts_ooo": "out_of_order_packets",
}  # fmt: skip
RTT: Final = {
    "rtt_cnt": "rtt_samples", "rtt_min": "rtt_min_ms", "rtt_avg": "rtt_mean_ms",
    "rtt_max": "rtt_max_ms",
}  # fmt: skip
# What no bar is set for; the table shows it.
MORE: Final = {
    "rtt_std": "rtt_std_ms", "first": "first_payload_ms", "last": "last_payload_ms",
    "first_ack": "first_ack_ms", "ttl_min": "ttl_min", "ttl_max": "ttl_max",
    "win_scl": "window_scale", "sack_cnt": "sack_packets", "mss": "mss_bytes",
    "mss_max": "payload_size_max_bytes", "mss_min": "payload_size_min_bytes",
    "win_max": "window_max_bytes", "win_min": "window_min_bytes", "win_0": "zero_window_packets",
    "cwin_max": "cwin_max_bytes", "cwin_min": "cwin_min_bytes", "cwin_ini": "cwin_initial_bytes",
    "pkts_rto": "rto_retransmissions", "pkts_fs": "fast_retransmissions",
    "pkts_reor": "reordered_packets", "pkts_dup": "duplicate_packets",
    "pkts_unk": "unclassified_anomalies", "pkts_fc": "window_probes",
    "pkts_unrto": "unneeded_rto_retransmissions", "pkts_unfs": "unneeded_fast_retransmissions",
    "syn_retx": "syn_retransmissions",
}  # fmt: skip
UDP: Final = {"bytes_all": "payload_bytes", "pkts_all": "packets"}
SIDES: Final = (("c", "c2s"), ("s", "s2c"))


@dataclass(frozen=True)
class Entry:
    """One flow of a log."""

    capture: str
    tcp: bool
    complete: bool
    values: dict[str, str]

    @property
    def ends(self) -> tuple[str, int, str, int]:
        value = self.values
        source, target = (str(ipaddress.ip_address(value[f"{side}_ip"])) for side in "cs")
        return source, int(value["c_port"]), target, int(value["s_port"])

    @property
    def first_ms(self) -> float:
        return float(self.values["first" if self.tcp else "c_first_abs"])

    def columns(self) -> Iterator[tuple[str, str, float]]:
        """The log's column, ours, and the log's value."""
        groups = [COUNTS | LOSS] if self.tcp else [UDP]
        if self.tcp and self.complete:
            groups += [RTT, MORE]
        elif self.tcp:
            groups += [{name: MORE[name] for name in ("first", "last", "first_ack")}]
        for letter, prefix in SIDES:
            for name, ours in (pair for group in groups for pair in group.items()):
                if f"{letter}_{name}" in self.values:
                    yield f"{letter}_{name}", f"{prefix}_{ours}", self.number(f"{letter}_{name}")
        if self.tcp:
            yield "durat", "duration_s", self.number("durat") / 1000

    def number(self, name: str) -> float:
        return float(self.values[name])


def folder() -> Path:
    """Where the real captures and Tstat's logs are, if anywhere."""
    return Path(os.environ.get("GSTA_DATA", "/nonexistent"))


def captures() -> Iterator[tuple[Path, list[Entry]]]:
    """Each capture that has logs, with their entries."""
    logs: dict[str, list[Path]] = {}
    for path in sorted((folder() / "tstat").glob("*.log_*")):
        logs.setdefault(path.name.rpartition(".log_")[0], []).append(path)
    known = {"__".join(p.relative_to(folder() / "captures").parts): p
             for p in sorted((folder() / "captures").rglob("*")) if p.is_file()}  # fmt: skip
    for name, paths in logs.items():
        if name in known:
            yield known[name], [entry for path in paths for entry in entries(path, name)]


def entries(path: Path, capture: str) -> Iterator[Entry]:
    kind = path.name.rpartition(".log_")[2]
    if kind not in ("tcp_complete", "tcp_nocomplete", "udp_complete"):
        return
    with path.open() as stream:
        head = stream.readline().rpartition("#")[2].split()
        names = [word.partition(":")[0] for word in head]
        for line in stream:
            yield Entry(
                capture, kind.startswith("tcp"), kind == "tcp_complete",
                dict(zip(names, line.split(" "), strict=False)),
            )  # fmt: skip


def joined(logged: Iterable[Entry], rows: Sequence[Row]) -> Iterator[tuple[Entry, Row | None]]:
    """Each entry with the row of the same end points and beginning."""
    by_ends: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = (row["protocol"], row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"])
        by_ends.setdefault(key, []).append(row)
    for entry in logged:
        rows_of_ends = by_ends.get((6 if entry.tcp else 17, *entry.ends), [])
        near = [
            row for row in rows_of_ends if abs(row["first_ns"] / 1e6 - entry.first_ms) <= JOIN_MS
        ]
        yield (
            entry,
            min(near, key=lambda row: abs(row["first_ns"] / 1e6 - entry.first_ms), default=None),
        )


def as_tstat(name: str, row: Row) -> float:
    """Our value in Tstat's definition, where that is another function of the same packets."""
    value = 0.0 if math.isnan(row[name]) else float(row[name])
    side, other = ("c2s_", "s2c_") if name.startswith("c2s_") else ("s2c_", "c2s_")
    count = row[f"{side}rtt_samples"]
    if name.endswith("rtt_mean_ms"):  # its means divide by the count and a ten-thousandth
        return value * count / (count + 0.0001)
    if name.endswith("rtt_std_ms"):  # the sample's, of three and more
        return value * math.sqrt(count / (count - 1)) if count > 2 else 0.0
    if name.endswith("window_scale"):  # as long as not both sides offer one, it holds for none
        return max(value, 0.0) if row[f"{other}window_scale"] >= 0 else 0.0
    if name.endswith("mss_bytes"):  # 16 bits with a sign
        return value - 0x10000 if value >= 0x8000 else value
    return value


def agree(name: str, theirs: float, mine: float) -> bool:
    """Tstat's 0 also means that there is nothing; its times are whole microseconds."""
    if name.endswith(("_ms", "_s")):
        return math.isclose(
            mine, theirs, rel_tol=1e-5, abs_tol=2e-3 if name.endswith("ms") else 2e-6
        )
    return mine == theirs
