"""Writes the evidence of a run: who had each flow, by two signs of the kernel's, and its end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from launcher.backend import Backend, FlowEvent
from launcher.plan import RunPlan
from launcher.records import EvidenceRecord, FlowEndRecord
from launcher.rundir import ENDS, EVIDENCE, LineWriter
from topologies.errors import MachineError

log = logging.getLogger(__name__)


class Evidence:
    """The evidence of one run, from the moment it is made until `stop`.

    Attributes
    ----------
    note
        How the kernel knows whose a flow is, or why there is no evidence.
    opened
        How many flows each activity has opened so far.
    counts
        Of records; once `stop` has been called of reports that are missing, too. How the two
        signs compare: ``evidence_agree``, ``evidence_differ``, and what only one of them saw,
        ``evidence_group_only`` and ``evidence_cgroup_only``.
    """

    def __init__(self, run_dir: Path, plan: RunPlan, backend: Backend) -> None:
        self._services = {service.owner: service.id for service in plan.services}
        sessions = {session.owner: session.id for session in plan.sessions}
        self._owners: Mapping[int, str] = MappingProxyType(self._services | sessions)
        self.opened: Counter[str] = Counter()
        self._compared: Counter[str] = Counter()
        self._stack = ExitStack()
        self._flows = self._stack.enter_context(LineWriter(run_dir / EVIDENCE))
        self._ends = self._stack.enter_context(LineWriter(run_dir / ENDS))
        self._lost: Mapping[str, int] = {"evidence_lost": 0}
        self._stop: Callable[[], Mapping[str, int]] = lambda: {"evidence_lost": 0}
        try:
            watch = backend.watch(self._on_event)
        except MachineError as error:
            # Labels do not need the evidence; measuring them does, and the manifest says so.
            log.warning("no evidence will be recorded: %s", error)
            self.note = f"none: {error}"
        else:
            self.note = watch.mechanism
            self._stop = lambda: {"evidence_lost": watch.stop(), "ends_lost": watch.ends_lost}

    @property
    def counts(self) -> dict[str, int]:
        """See above."""
        compared = {f"evidence_{how}": count for how, count in sorted(self._compared.items())}
        written = {"evidence": self._flows.count, "ends": self._ends.count}
        return {**self._lost, **written, **compared}

    def stop(self) -> int:
        """Take in what the kernel still has to say; how many reports of new flows are missing.

        Raises
        ------
        LabError
            It could not be written.
        """
        with self._stack:
            self._lost = self._stop()
        return self._lost["evidence_lost"]

    def _on_event(self, event: FlowEvent) -> None:
        by_group, by_cgroup = self._owners.get(event.owner), self._owners.get(event.second)
        if event.what == "ended":
            self._ends.write(_end(event, by_group))
            return
        if event.what != "opened" and max(event.owner, event.second) in self._services:
            return  # what its client opened, and the client's host has reported
        if event.what == "opened":
            self.opened[by_group or by_cgroup or ""] += 1
            self._compared[_compare(by_group, by_cgroup)] += 1
        self._flows.write(
            EvidenceRecord(
                role=event.what,
                time_ns=event.time_ns,
                protocol=event.protocol,
                src=event.src,
                sport=event.sport,
                dst=event.dst,
                dport=event.dport,
                host=event.host,
                activity=by_group or by_cgroup,
                second=by_cgroup,
            )
        )


def _compare(by_group: str | None, by_cgroup: str | None) -> str:
    if by_group and by_cgroup:
        return "agree" if by_group == by_cgroup else "differ"
    return "group_only" if by_group else "cgroup_only" if by_cgroup else "unknown"


def _end(event: FlowEvent, activity: str | None) -> FlowEndRecord:
    return FlowEndRecord(
        start_ns=event.start_ns,
        time_ns=event.time_ns,
        protocol=event.protocol,
        src=event.src,
        sport=event.sport,
        dst=event.dst,
        dport=event.dport,
        host=event.host,
        activity=activity,
        packets=event.packets,
        bytes=event.bytes,
        reply_packets=event.reply_packets,
        reply_bytes=event.reply_bytes,
    )
