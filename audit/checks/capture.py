"""A: was everything captured?"""

from __future__ import annotations

from audit.data import AuditData
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure


@check(
    "A1",
    "packets dropped by the kernel or an interface while capturing",
    remedy="run again with less load on the machine, or fewer users at once",
    needs=("lineage",),
)
def dropped_packets(data: AuditData, allowed: Threshold) -> Finding:
    """Sum the counters that tcpdump read back from the kernel."""
    captures = [(run.run_id, capture) for run in data.summary.runs for capture in run.captures]
    if not captures:
        return nothing_to_measure("no run records a capture")
    drops = {
        f"{run_id}, {capture.network}": capture.dropped_by_kernel + capture.dropped_by_interface
        for run_id, capture in captures
    }
    received = sum(capture.received for _, capture in captures)
    return at_most(
        sum(drops.values()),
        allowed.limit,
        f"{received} packets received in {len(captures)} captures",
        *(f"{where}: {count} dropped" for where, count in drops.items() if count),
    )
