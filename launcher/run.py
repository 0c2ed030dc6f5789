"""One experiment from start to end: lab up, captures, services, sessions by the clock, all down.

The run directory says `incomplete` from its first moment and `complete` only at the very end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

from launcher import rundir
from launcher.backend import Backend, Capture, FlowEvent
from launcher.compile import compile_run
from launcher.impair.schedule import LinkSchedule
from launcher.impair.verify import verify
from launcher.machine import machine_facts, versions
from launcher.plan import RunPlan
from launcher.records import (
    CaptureRecord,
    EvidenceRecord,
    Manifest,
    PhaseRecord,
    VerifiedLink,
)
from launcher.servers import Servers
from launcher.sessions import Sessions
from topologies import Phase, Topology
from topologies.document import Document
from topologies.errors import MachineError
from topologies.files import sha256_file

log = logging.getLogger(__name__)

Progress = Callable[[str, float, float], None]
"""Called with what is being done, how much of it is done and how much there is."""

TICK_S: Final = 0.05
EVIDENCE_KIND: Final = "conntrack by group id"


def run_experiment(
    document: Document[Topology],
    *,
    seed: int,
    out: Path,
    backend: Backend,
    progress: Progress,
) -> Path:
    """Run a topology's activities once; the run directory ``out``.

    Raises
    ------
    InputError
        The topology has faults, or ``out`` is in use.
    MachineError
        This machine cannot build the lab.
    LabError
        A host or service failed; the run directory says so.
    """
    plan = compile_run(document, seed=seed)
    return _Experiment(
        document.model, plan, seed=seed, out=out, backend=backend, progress=progress
    ).run()


class _Experiment:
    def __init__(
        self,
        topology: Topology,
        plan: RunPlan,
        *,
        seed: int,
        out: Path,
        backend: Backend,
        progress: Progress,
    ) -> None:
        self._topology, self._plan, self._seed = topology, plan, seed
        self._out, self._backend, self._progress = out, backend, progress
        self._containers: Mapping[str, str] = {}
        self._evidence_note = EVIDENCE_KIND
        self._captures: tuple[CaptureRecord, ...] = ()
        self._links: tuple[VerifiedLink, ...] = ()
        self._counts = {"sessions": len(plan.sessions), "services": len(plan.services)}
        self._start_ns = time.time_ns()

    def run(self) -> Path:
        """Everything, in order; always torn down, and the manifest says how it ended."""
        first = self._manifest("incomplete", "the launcher did not finish")
        rundir.create(self._out, first, self._topology)
        try:
            with ExitStack() as cleanup:
                cleanup.callback(self._backend.down)
                self._run(cleanup)
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            rundir.write_manifest(self._out, self._manifest("incomplete", reason))
            raise
        whole = self._manifest("complete", "", sha256=rundir.digests(self._out))
        rundir.write_manifest(self._out, whole)
        return self._out

    def _run(self, cleanup: ExitStack) -> None:
        self._progress("building the lab", 0, 1)
        self._containers = self._backend.up(self._plan.lab, self._out)
        self._links = verify(self._backend.links)
        journal = cleanup.enter_context(rundir.LineWriter(self._out / rundir.JOURNAL))
        evidence = cleanup.enter_context(rundir.LineWriter(self._out / rundir.EVIDENCE))
        stop_watch = self._start_watch(evidence)
        captures: list[Capture] = []
        try:
            for network in self._plan.lab.captures:
                file = self._out / rundir.CAPTURES / f"{network}.pcap"
                captures.append(self._backend.capture(network, file))
            self._progress("starting services", 0, 1)
            servers = Servers(self._backend, self._out, self._plan.services)
            servers.await_ready()
            self._run_phases(servers, journal)
            servers.stop(journal, self._containers)
            self._counts["frames_lost_by_links"] = self._backend.links.overrun()
        finally:
            self._captures = _stop_captures(captures)
            self._counts |= {"evidence_lost": stop_watch(), "evidence": evidence.count}

    def _run_phases(self, servers: Servers, journal: rundir.LineWriter) -> None:
        sessions = Sessions(self._backend, self._plan, self._out, journal, self._containers)
        links = LinkSchedule(self._backend.links, journal.write)
        phases, total_s = self._topology.phases, self._topology.duration_s
        begin, begin_ns = time.monotonic(), time.time_ns()
        try:
            while (now_s := time.monotonic() - begin) < total_s and not sessions.done:
                links.advance(now_s)
                sessions.advance(now_s)
                servers.check()
                self._progress(f"{_phase_at(phases, now_s).name} phase", now_s, total_s)
                time.sleep(TICK_S)
        finally:
            sessions.stop()
            self._counts |= sessions.outcomes
        over_ns = time.time_ns()  # before the last phase is, when every session has ended
        for phase in phases:
            stop_ns = min(begin_ns + int(phase.duration_s * 1e9), over_ns)
            journal.write(
                PhaseRecord(
                    name=phase.name, intensity=phase.intensity, start_ns=begin_ns, stop_ns=stop_ns
                )
            )
            begin_ns = stop_ns

    def _start_watch(self, evidence: rundir.LineWriter) -> Callable[[], int]:
        owners = {service.owner: service.id for service in self._plan.services}
        owners |= {session.owner: session.id for session in self._plan.sessions}

        def on_flow(event: FlowEvent) -> None:
            evidence.write(
                EvidenceRecord(
                    time_ns=event.time_ns,
                    protocol=event.protocol,
                    src=event.src,
                    sport=event.sport,
                    dst=event.dst,
                    dport=event.dport,
                    host=event.host,
                    activity=owners.get(event.owner),
                )
            )

        try:
            return self._backend.watch(on_flow).stop
        except MachineError as error:
            # Labels do not need the evidence; measuring them does, and the manifest says so.
            log.warning("no evidence will be recorded: %s", error)
            self._evidence_note = f"none: {error}"
            return lambda: 0

    def _manifest(
        self,
        status: Literal["incomplete", "complete"],
        reason: str,
        *,
        sha256: Mapping[str, str] | None = None,
    ) -> Manifest:
        topology_file = self._out / rundir.TOPOLOGY
        return Manifest(
            run_id=self._out.name,
            name=self._topology.name,
            status=status,
            reason=reason,
            seed=self._seed,
            backend=self._backend.name,
            topology_sha256=sha256_file(topology_file) if topology_file.exists() else "",
            images=dict(self._backend.images),
            notes=tuple(self._backend.notes),
            versions=versions(),
            machine=machine_facts(),
            evidence=self._evidence_note,
            start_ns=self._start_ns,
            stop_ns=time.time_ns() if status == "complete" else None,
            counts=self._counts,
            captures=self._captures,
            links=self._links,
            sha256=dict(sha256 or {}),
        )


def _phase_at(phases: tuple[Phase, ...], now_s: float) -> Phase:
    for phase in phases:
        if now_s < phase.duration_s:
            return phase
        now_s -= phase.duration_s
    return phases[-1]


def _stop_captures(captures: list[Capture]) -> tuple[CaptureRecord, ...]:
    stopped = tuple(capture.stop() for capture in captures)
    for record in stopped:
        if record.dropped_by_kernel or record.dropped_by_interface:
            log.warning("the capture of %s lost packets: %s", record.network, record)
    return stopped
