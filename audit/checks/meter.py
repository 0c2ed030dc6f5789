"""B: does the flow meter count every packet, and tell who began?"""

from __future__ import annotations

from audit.data import AuditData
from audit.result import Finding, Threshold, at_least, at_most, check, nothing_to_measure
from flowmeter.selftest import golden_names
from tagger import CaptureFacts


@check(
    "B1",
    "golden captures whose rows are not exactly the expected ones",
    remedy=(
        "report it, with the evidence: the flow meter of this installation does not do what its "
        "definitions say"
    ),
    needs=("lineage",),
)
def golden_captures(data: AuditData, allowed: Threshold) -> Finding:
    """Meter the conformance suite that is part of the flow meter here and now: FIN, RST, half-open,
    retransmission, port reuse, timeouts, UDP, ICMP, IPv6, VLAN, fragments, tunnels, formats.
    """
    names = golden_names()
    wrong = data.selftest()
    return at_most(
        len(wrong),
        allowed.limit,
        f"{len(names) - len(wrong)} of {len(names)} captures give their exact rows",
        *(f"{name}: {said}" for name, said in wrong.items()),
    )


@check(
    "B2",
    "packets and bytes that are neither in a flow nor in a counter of rejects",
    remedy="meter the run again with this version; if it stays, report it with the capture",
    needs=("facts", "packets"),
)
def conserved(data: AuditData, allowed: Threshold) -> Finding:
    """Count the packets of the captures again, and compare with the run's flow table: packets are
    in flows or rejected, and the bytes of IP in flows are those of their packets.
    """
    missing, evidence = 0, []
    for where, capture in data.captures():
        rejected = sum(capture.rejects.values())
        packets = abs(capture.packets - rejected - capture.table_packets)
        packets += abs(capture.accepted - capture.table_packets)
        octets = abs(capture.ip_bytes - capture.table_ip_bytes)
        missing += packets + octets
        reasons = "".join(f", {count} {reason}" for reason, count in capture.rejects.items())
        evidence.append(
            f"{where}: {capture.packets} packets = {capture.table_packets} in flows + {rejected} "
            f"rejected{reasons}; {capture.ip_bytes} bytes, {capture.table_ip_bytes} in flows"
        )
    return at_most(missing, allowed.limit, *evidence)


@check(
    "B3",
    "share of SYNs that the initiator of their flow sent",
    remedy="report it with the capture: the flow meter takes servers for clients",
    needs=("facts", "packets"),
)
def initiators(data: AuditData, allowed: Threshold) -> Finding:
    """Look at every TCP packet with SYN and without ACK, and at the flow that took it."""
    forth = {where: one.syn_by_initiator for where, one in data.captures()}
    back = {where: one.syn_by_responder for where, one in data.captures()}
    total = sum(forth.values()) + sum(back.values())
    if not total:
        return nothing_to_measure("no SYN was captured")
    return at_least(
        sum(forth.values()) / total,
        allowed.limit,
        *(f"{where}: {forth[where]} by the initiator, {back[where]} not" for where in forth),
    )


@check(
    "B6",
    "columns in which rows metered live differ from those of the dataset's runs",
    remedy=(
        "meter the run again with this version; if it stays, report it: a model would see other "
        "numbers at work than it learnt from"
    ),
    needs=("facts", "packets"),
)
def live_as_offline(data: AuditData, allowed: Threshold) -> Finding:
    """Meter the captures a second time by the path of a live capture, in pieces and with a clock
    that goes on between them, and compare every column of every row to the bit.
    """
    other = {where: _other(capture) for where, capture in data.captures()}
    rows = sum(capture.table_flows for _, capture in data.captures())
    return at_most(
        sum(count for count, _ in other.values()),
        allowed.limit,
        f"{rows} rows of {len(other)} captures compared",
        *(f"{where}: {said}" for where, (count, said) in other.items() if count),
    )


def _other(capture: CaptureFacts) -> tuple[int, str]:
    """How many columns differ, and in words."""
    rows = capture.live_flows - capture.table_flows
    said = f"{capture.live_flows} rows instead of {capture.table_flows}; " if rows else ""
    return len(capture.differing) + bool(rows), said + ", ".join(capture.differing[:10])
