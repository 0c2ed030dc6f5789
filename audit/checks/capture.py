"""A: was everything captured, once, in order, and by one clock?"""

from __future__ import annotations

from audit.data import AuditData
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure
from tagger.facts import ClockFacts, PointFacts


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


@check(
    "A2",
    "packets out of time order by more than 10 ms; packets that were captured twice",
    remedy=(
        "capture each network at one point only; if packets are late, run again with less load: "
        "the machine held them back between stamping and writing"
    ),
    needs=("facts", "packets"),
)
def out_of_order(data: AuditData, allowed: Threshold) -> Finding:
    """Count packets stamped earlier than one before them once the files of a network are merged,
    and equal frames within a millisecond. Two processors hand over within microseconds of each
    other, so less than 10 ms does not count; the flow meter lets no time run backwards.
    """
    late, repeated, packets, evidence = 0, 0.0, 0, []
    declared = {run.run_id: run.points.duplicate_percent for run in data.facts if run.points}
    for where, capture in data.captures():
        late += capture.late
        packets += capture.packets
        share = capture.repeated / max(capture.packets, 1)
        share -= declared.get(where.rpartition(", ")[0], 0.0) / 100
        repeated = max(repeated, share)
        evidence.append(
            f"{where}: {capture.late} of {capture.packets} late, {capture.unordered} by less "
            f"({capture.latest_ms:.3f} ms at most); {capture.repeated} seen twice"
        )
    failed = late > allowed.limit or repeated > allowed.also["repeated"]
    return Finding("fail" if failed else "pass", late, (f"{packets} packets", *evidence))


@check(
    "A3",
    "milliseconds between the clocks of hosts, launcher and capture",
    remedy=(
        "keep the clocks of all machines by NTP or PTP, and let nobody set them during a run; "
        "then run again"
    ),
    needs=("facts",),
)
def clocks_apart(data: AuditData, allowed: Threshold) -> Finding:
    """On one machine all read the kernel's clock: proved by the time from the kernel's word of a
    connection to its first packet in a capture. Between machines the launcher measures.
    """
    worst, evidence = 0.0, []
    for run in data.facts:
        step_ms = run.load.clock_step_ms if run.load else 0.0
        apart = max(run.clock.engines_ms, step_ms, _unexplained_ms(run.clock))
        worst = max(worst, apart)
        proof = (
            "no connection to compare"
            if run.clock.kernel_ms is None
            else f"{run.clock.kernel_ms:.3f} ms from kernel to capture (median of "
            f"{run.clock.compared} connections, {run.clock.delay_ms:g} ms of it by links)"
        )
        evidence.append(
            f"{run.run_id}: machines {run.clock.engines_ms:.3f} ms apart, set by {step_ms:g} ms; "
            f"{proof}"
        )
    return at_most(worst, allowed.limit, *evidence)


def _unexplained_ms(clock: ClockFacts) -> float:
    """What is left between kernel and capture when links have had their share."""
    if clock.kernel_ms is None:
        return 0.0
    return max(-clock.kernel_ms, clock.kernel_ms - clock.delay_ms, 0.0)


@check(
    "A4",
    "packets in which two capture points of one flow disagree beyond the declared loss",
    remedy=(
        "look at the run's captures: one of them missed packets that the other has; run again "
        "with less load, or declare the loss of the links"
    ),
    needs=("facts",),
)
def points_disagree(data: AuditData, allowed: Threshold) -> Finding:
    """Count each direction of a flow on its sender's network and on others that saw it. More there
    is a packet that the first point missed; fewer is loss, which impairments may declare, and for
    which a firewall, NAT or a queue on the way is an excuse that the evidence names.
    """
    compared = [(run.run_id, run.points) for run in data.facts if run.points is not None]
    if not any(points.flows for _, points in compared):
        return nothing_to_measure("no flow was captured at two points")
    beyond, evidence = 0.0, []
    for run_id, points in compared:
        beyond += _beyond(points)
        excuse = f" ({', '.join(points.excused)})" if points.excused else ""
        evidence.append(
            f"{run_id}: {points.packets} packets of {points.flows} flow directions; further on "
            f"{points.appeared} more and {points.vanished} fewer{excuse}"
        )
    return at_most(beyond, allowed.limit, *evidence)


def _beyond(points: PointFacts) -> float:
    """Packets that neither a declared share nor an excuse explains."""
    repeats = points.packets * points.duplicate_percent / 100
    more = max(points.appeared - 2 * repeats, 0.0)
    if points.excused:
        return more
    lost = points.packets * points.loss_percent / 100
    return more + max(points.vanished - 2 * lost, 0.0)


@check(
    "A5",
    "frames larger than the MTU of their network",
    remedy="switch segmentation offload off on every interface: ethtool -K IF tso off gso off",
    needs=("facts", "packets"),
)
def super_packets(data: AuditData, allowed: Threshold) -> Finding:
    """Compare the IP bytes of every frame with what the topology says that the network carries."""
    over = {where: capture.oversize for where, capture in data.captures()}
    return at_most(
        sum(over.values()),
        allowed.limit,
        *(
            f"{where}: {capture.oversize} frames above {capture.mtu} bytes, the largest of "
            f"{capture.largest_bytes}"
            for where, capture in data.captures()
        ),
    )


@check(
    "A6",
    "share of the processors' time that was busy while the activities went on, at most",
    remedy="run fewer users at once, or on more processors: times are about the machine now",
    needs=("facts",),
)
def saturated_host(data: AuditData, allowed: Threshold) -> Finding:
    """The launcher looks every second: busy and stolen time, processes that could run, the time in
    which some had to wait (PSI), control groups held back by their limits.
    """
    loads = {run.run_id: run.load for run in data.facts if run.load is not None}
    if not loads:
        return nothing_to_measure("the runs did not watch their machine")
    stolen = max(load.steal_share for load in loads.values())
    busiest = max(load.busy_share for load in loads.values())
    failed = busiest > allowed.limit or stolen > allowed.also["stolen"]
    said = []
    for run_id, load in loads.items():
        stalled = (
            "" if load.stalled_share is None else f", {100 * load.stalled_share:.0f} % stalled"
        )
        said.append(
            f"{run_id}: {100 * load.busy_share:.0f} % busy ({100 * load.busiest_share:.0f} % at "
            f"most), {100 * load.steal_share:.1f} % stolen, {load.runnable_per_cpu:.2f} runnable "
            f"per processor{stalled}, {load.throttled_s:.1f} s throttled"
        )
    return Finding("fail" if failed else "pass", busiest, tuple(said))
