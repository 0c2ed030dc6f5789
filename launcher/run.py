"""One experiment from start to end: lab up, captures, services, sessions by the clock, all down.

The run directory says `incomplete` from its first moment and `complete` only at the very end. What
fails alone (a server, a host, a client) is told and the rest goes on; what nothing can be recorded
without (a capture, the disk, the engine) ends the run, which keeps what it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from launcher import rundir
from launcher.backend import Backend
from launcher.capture import CaptureOptions
from launcher.captures import Captures, Sink
from launcher.compile import compile_run
from launcher.evidence import Evidence
from launcher.hostload import LoadWatch
from launcher.impair.schedule import LinkSchedule
from launcher.impair.verify import verify
from launcher.losses import Losses
from launcher.machine import machine_facts, versions
from launcher.pace import Pacer
from launcher.plan import RunPlan
from launcher.records import CaptureRecord, Manifest, PhaseRecord, TargetRecord, VerifiedLink
from launcher.servers import Servers
from launcher.sessions import Sessions
from launcher.signals import undisturbed
from launcher.tempo import faster, shorter
from topologies import Phase, Topology
from topologies.document import Document
from topologies.errors import GstaError, LabError
from topologies.files import sha256_file

log = logging.getLogger(__name__)

Progress = Callable[[str, float, float], None]
"""Called with what is being done, how much of it is done and how much there is."""

TICK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How an experiment is run, whatever is in it.

    Attributes
    ----------
    capture
        How packets are captured.
    sink
        Where the packets of each capture point go if they are not kept; see `launcher.captures`.
    time_scale
        What pauses and phases are divided by.
    """

    capture: CaptureOptions = field(default_factory=CaptureOptions)
    sink: Sink | None = None
    time_scale: float = 1.0


def run_experiment(
    document: Document[Topology],
    *,
    seed: int,
    out: Path,
    backend: Backend,
    progress: Progress,
    options: RunOptions | None = None,
) -> Path:
    """Run a topology's activities once; the run directory ``out``.

    Raises
    ------
    InputError
        The topology has faults, or ``out`` is in use.
    MachineError
        This machine cannot build the lab.
    LabError
        The lab could not be built, or what the run cannot do without failed; the run directory
        says so.
    """
    plan = compile_run(document, seed=seed)
    return _Experiment(
        document.model,
        plan,
        seed=seed,
        out=out,
        backend=backend,
        progress=progress,
        options=options or RunOptions(),
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
        options: RunOptions,
    ) -> None:
        self._topology, self._seed, self._options = topology, seed, options
        self._plan = faster(plan, options.time_scale)
        self._phases = shorter(topology.phases, options.time_scale)
        self._out, self._backend, self._progress = out, backend, progress
        self._containers: Mapping[str, str] = {}
        self._evidence_note = "none: the run did not get that far"
        self._captures: tuple[CaptureRecord, ...] = ()
        self._links: tuple[VerifiedLink, ...] = ()
        self._counts = {"sessions": len(plan.sessions), "services": len(plan.services)}
        self._losses = Losses()
        self._load = LoadWatch(self._losses)
        self._start_ns = time.time_ns()

    def run(self) -> Path:
        """Everything, in order; always torn down, and the manifest says how it ended."""
        first = self._manifest("incomplete", "the launcher did not finish")
        rundir.create(self._out, first, self._topology)
        try:
            with ExitStack() as cleanup:
                cleanup.callback(self._down)
                self._run(cleanup)
            rundir.release_reserve(self._out)
            rundir.write_manifest(self._out, self._manifest("complete", "", sha256=self._digests()))
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            with suppress(OSError):  # the folder is gone; else the manifest says why it ended
                rundir.release_reserve(self._out)
                rundir.write_manifest(self._out, self._manifest("incomplete", reason))
            if isinstance(error, OSError) and not isinstance(error, GstaError):
                raise LabError(f"the run in {self._out} failed: {error}") from error
            raise
        return self._out

    def _digests(self) -> dict[str, str]:
        found = rundir.digests(self._out)
        if rundir.JOURNAL not in found:
            raise LabError(f"{self._out} was removed while the run was on")
        return found

    def _down(self) -> None:
        with undisturbed():
            self._backend.down()

    def _run(self, cleanup: ExitStack) -> None:
        self._progress("building the lab", 0, 1)
        self._containers = self._backend.up(self._plan.lab, self._out)
        self._links = verify(self._backend.links)
        journal = cleanup.enter_context(rundir.LineWriter(self._out / rundir.JOURNAL))
        captures = Captures(self._losses)
        evidence = Evidence(self._out, self._plan, self._backend)
        self._evidence_note = evidence.note
        try:
            self._progress("starting captures", 0, 1)
            captures.start(
                self._backend,
                self._plan.lab.captures,
                self._out / rundir.CAPTURES,
                options=self._options.capture,
                sink=self._options.sink,
            )
            self._progress("starting services", 0, 1)
            servers = Servers(
                self._backend,
                self._out,
                self._plan.services,
                journal=journal,
                containers=self._containers,
                losses=self._losses,
            )
            try:
                servers.await_ready()
                self._run_phases(servers, captures, journal, evidence)
            finally:
                with undisturbed():
                    servers.stop()
            self._counts["frames_lost_by_links"] = self._backend.links.overrun()
        finally:
            with undisturbed():
                self._end_recording(captures, evidence)

    def _end_recording(self, captures: Captures, evidence: Evidence) -> None:
        try:
            self._captures = captures.stop()
        finally:
            if missing := evidence.stop():
                self._losses.add(f"the kernel could not deliver {missing} reports of new flows")
            self._counts |= evidence.counts
        if lost := next((record.lost for record in self._captures if record.lost), ""):
            raise LabError(lost)

    def _run_phases(
        self, servers: Servers, captures: Captures, journal: rundir.LineWriter, evidence: Evidence
    ) -> None:
        sessions = Sessions(
            self._backend,
            self._plan,
            self._out,
            journal=journal,
            containers=self._containers,
            losses=self._losses,
            phases=self._phases,
            flows=evidence.opened,
        )
        links = LinkSchedule(self._backend.links, journal.write)
        phases = self._phases
        self._load.start()
        total_s = sum(phase.duration_s for phase in phases)
        begin, begin_ns = time.monotonic(), time.time_ns()
        try:
            while (now_s := time.monotonic() - begin) < total_s and not sessions.done:
                links.advance(now_s * self._options.time_scale)
                sessions.advance(now_s)
                servers.check()
                captures.check()
                self._load.look()
                self._progress(f"{_phase_at(phases, now_s).name} phase", now_s, total_s)
                time.sleep(TICK_S)
        finally:
            with undisturbed():
                sessions.stop()
            self._counts |= sessions.outcomes
            self._load.stop()
        over_ns = time.time_ns()  # before the last phase is, when every session has ended
        for number, phase in enumerate(phases):
            stop_ns = min(begin_ns + int(phase.duration_s * 1e9), over_ns)
            journal.write(
                PhaseRecord(
                    name=phase.name,
                    intensity=phase.intensity,
                    target=self._met(phase, sessions.paces.pacers.get(number)),
                    start_ns=begin_ns,
                    stop_ns=stop_ns,
                )
            )
            begin_ns = stop_ns

    def _met(self, phase: Phase, pacer: Pacer | None) -> TargetRecord | None:
        """How well a phase's target was met; a miss is among what the run did not do."""
        if phase.target is None or pacer is None:
            return None
        unit, asked, achieved = phase.target.unit, pacer.asked, pacer.achieved
        if not pacer.met:
            self._losses.add(
                f"phase '{phase.name}' aimed at {asked:.4g} {unit} and met {achieved:.4g}"
            )
        return TargetRecord(unit=unit, asked=asked, achieved=achieved, met=pacer.met)

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
            time_scale=self._options.time_scale,
            losses=self._losses.told,
            load=self._load.result,
            start_ns=self._start_ns,
            stop_ns=time.time_ns() if status == "complete" else None,
            counts=self._counts,
            captures=self._captures,
            links=self._links,
            engines=tuple(self._backend.engines),
            sha256=dict(sha256 or {}),
        )


def _phase_at(phases: tuple[Phase, ...], now_s: float) -> Phase:
    for phase in phases:
        if now_s < phase.duration_s:
            return phase
        now_s -= phase.duration_s
    return phases[-1]
