"""A long run of a topology of the library: does the lab keep what it promises, and at what cost.

    python -m benchmarks.campus                                 # the campus's day of ten minutes
    python -m benchmarks.campus --topology office --folder /tmp/office

Needs root and the packages of ``gsta topology packages campus``. With ``--folder`` the run, its
flow table and a list of flows without an owner stay there.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow.compute as pc

from benchmarks.labruns import Cost, Flows, labelled, run_lab
from benchmarks.timing import publish
from launcher.activities import catalogue
from launcher.records import ActivityRecord, Manifest, PhaseRecord
from launcher.rundir import read_journal, read_manifest
from tagger.coverage import KERNELS_OWN

Row = list[object]
SHOWN = ("src_ip", "src_port", "dst_ip", "dst_port", "protocol", "first_ns", "network")


def main() -> None:
    """Run, measure, publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--topology", default="campus")
    options.add_argument("--seconds", help="scale all phases to this length")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--folder", type=Path, help="where to keep the run")
    asked = options.parse_args()
    shorter = ["--seconds", asked.seconds] if asked.seconds else []
    with ExitStack() as stack:
        temporary = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run, load = temporary / "run", os.getloadavg()[0]
        cost = run_lab(asked.topology, run, seed=asked.seed, options=shorter)
        flows = labelled(run)
        (temporary / "unowned.txt").write_text("\n".join(_unowned(flows)))
        records = list(read_journal(run))
        sessions = [record for record in records if isinstance(record, ActivityRecord)]
        phases = [record for record in records if isinstance(record, PhaseRecord)]
        manifest = read_manifest(run)
    command = " ".join(["python -m benchmarks.campus", *_as_given(asked, shorter)])
    title = f"A run of {asked.topology}"
    rows = [
        *_recording(manifest, flows),
        *_playing(manifest, sessions),
        *_load(phases),
        *_price(cost, load),
    ]
    publish(title, command, ["what", "measured", "bar"], rows)
    columns = ["attack", "sessions", "effect evaluated", "had its effect"]
    publish(f"{title}: attacks", command, columns, list(_attacks(sessions)))


def _as_given(asked: argparse.Namespace, shorter: Sequence[str]) -> list[str]:
    named = [] if asked.topology == "campus" else ["--topology", asked.topology]
    return [*named, *shorter]


def _recording(manifest: Manifest, flows: Flows) -> Iterator[Row]:
    captures, counts = manifest.captures, manifest.counts
    dropped = sum(c.dropped_by_kernel + c.dropped_by_interface for c in captures)
    quality, coverage = flows.report.quality, flows.report.quality.coverage
    yield ["packets captured", sum(capture.packets for capture in captures), ""]
    yield ["dropped by captures", dropped, "0"]
    if coverage is not None and coverage.share is not None:
        yield ["flows that programs made", coverage.flows, ""]
        owned = f"{coverage.known} = {100 * coverage.share:.3f} %"
        yield ["… with an owner by the kernel's evidence", owned, "99.9 %"]
        unseen = ", ".join(f"{n} {name}" for name, n in coverage.unseen.items())
        yield ["… without one", unseen or 0, ""]
        equal = f"{coverage.equal} of {coverage.compared}"
        yield ["captured with as many packets as the kernel counted", equal, ""]
    signs = [f"{counts.get(f'evidence_{how}', 0)} {how}" for how in ("agree", "differ")]
    yield ["flows of which both signs say the owner", ", ".join(signs), ""]
    lost = f"{counts['evidence_lost']}, {counts.get('ends_lost', 0)}"
    yield ["reports lost: of beginnings, of ends", lost, "0, 0"]
    right = quality.overall
    yield ["labels that agree with the evidence", f"{right.agreed} of {right.checked}", ""]


def _playing(manifest: Manifest, sessions: Sequence[ActivityRecord]) -> Iterator[Row]:
    counts = manifest.counts
    ended = ", ".join(f"{counts.get(how, 0)} {how}" for how in ("ok", "failed", "stopped"))
    kinds = {session.kind for session in sessions}
    yield ["sessions", f"{len(sessions)} of {len(kinds)} kinds: {ended}", ""]
    failed = Counter(session.kind for session in sessions if session.outcome != "ok")
    told = ", ".join(f"{kind} {count}" for kind, count in failed.most_common())
    yield ["… that failed or hung, by kind", told or "none", ""]
    attacks = [session for session in sessions if catalogue()[session.kind].malicious]
    evaluated = sum(session.effect is not None for session in attacks)
    yield ["attacks whose effect was evaluated", f"{evaluated} of {len(attacks)}", "all"]
    effective = sum(_effective(session) for session in attacks)
    yield ["attacks that had their effect", effective, ""]
    yield ["what the run says it lost", "; ".join(manifest.losses) or "nothing", ""]


def _effective(session: ActivityRecord) -> bool:
    return session.effect is not None and session.effect.get("success") is True


def _load(phases: Sequence[PhaseRecord]) -> Iterator[Row]:
    for phase in phases:
        if phase.target is not None:
            asked, reached = phase.target.asked, phase.target.achieved
            off = 100 * (reached / asked - 1) if asked else 0.0
            seconds = (phase.stop_ns - phase.start_ns) / 1e9
            what = f"{phase.target.unit}, phase {phase.name}, {seconds:.0f} s"
            yield [what, f"{reached:.2f} for {asked:.2f}: {off:+.1f} %", "5 %"]


def _price(cost: Cost, load: float) -> Iterator[Row]:
    for name, used_s, peak_mb in (
        ("launcher", cost.launcher_cpu_s, cost.launcher_peak_mb),
        ("hosts' programs", cost.lab_cpu_s, cost.lab_peak_mb),
    ):
        share = 100 * used_s / cost.seconds
        yield [f"processor, {name}", f"{used_s:.0f} s = {share:.0f} % of a core", ""]
        yield [f"most memory, {name}", f"{peak_mb:.0f} MB", ""]
    yield ["most programs at once", cost.most_processes, ""]
    yield ["load of the machine before", f"{load:.1f}", ""]


def _attacks(sessions: Sequence[ActivityRecord]) -> Iterator[Row]:
    kinds = sorted({s.kind for s in sessions if catalogue()[s.kind].malicious})
    for kind in kinds:
        mine = [session for session in sessions if session.kind == kind]
        evaluated = sum(session.effect is not None for session in mine)
        yield [kind, len(mine), evaluated, sum(map(_effective, mine))]


def _unowned(flows: Flows) -> Iterator[str]:
    """Flows that programs made and nobody is known to own, as lines of text."""
    labels = flows.report.labels
    nobody = pc.is_null(labels["oracle"]).combine_chunks()
    for row in flows.table.select(list(SHOWN)).filter(nobody).to_pylist():
        if row["protocol"] not in KERNELS_OWN:
            yield " ".join(str(row[name]) for name in SHOWN)


if __name__ == "__main__":
    main()
