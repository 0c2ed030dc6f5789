"""The users' sessions of a run: started when due, reaped, and written into the journal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from launcher.activities import catalogue
from launcher.backend import Backend, HostGoneError, Process
from launcher.commands import read_events, session_command, session_log
from launcher.losses import Losses
from launcher.pace import Load, Paces
from launcher.plan import Endpoint, RunPlan, SessionPlan
from launcher.records import (
    ActivityRecord,
    InsideRecord,
    Peer,
    WindowRecord,
    protocol_name,
)
from launcher.rundir import LOGS, WINDOWS, LineWriter
from launcher.wiring import node_mac
from topologies import Phase

GRACE_S: Final = 3.0
OVERTIME_S: Final = 30.0
"""After its time a session hangs: it ends by itself before, but first its program has to come up,
which takes a busy machine a while."""
STOPPERS: Final = 32


@dataclass(frozen=True, slots=True)
class _Running:
    session: SessionPlan
    process: Process
    start_ns: int
    latest_s: float  # by the clock that the caller keeps


class Sessions:
    """Every session of the plan, by the clock that the caller keeps.

    Attributes
    ----------
    outcomes
        How many sessions ended how.
    paces
        How well the phases' targets are met.
    """

    def __init__(
        self,
        backend: Backend,
        plan: RunPlan,
        run_dir: Path,
        *,
        journal: LineWriter,
        containers: Mapping[str, str],
        losses: Losses,
        phases: Sequence[Phase] = (),
        flows: Mapping[str, int] | None = None,
    ) -> None:
        self._backend, self._plan, self._run_dir = backend, plan, run_dir
        self._journal, self._containers, self._losses = journal, containers, losses
        self._flows = flows if flows is not None else {}  # that each session has opened
        self._ended, self._ended_flows = 0, 0
        self.paces = Paces(phases, plan.sessions)
        free = [session for session in plan.sessions if session.phase is None]
        self._waiting = sorted(free, key=lambda session: session.start_s, reverse=True)
        self._now_s = 0.0
        self._running: list[_Running] = []
        self._ending: list[tuple[_Running, Future[int | None]]] = []
        self._pool = ThreadPoolExecutor(max_workers=STOPPERS)
        self._hung: list[SessionPlan] = []
        self.outcomes: Counter[str] = Counter()

    @property
    def done(self) -> bool:
        """Whether all sessions have begun and ended."""
        left = self._waiting or self._running or self._ending
        return not left and self.paces.over(self._now_s)

    def advance(self, now_s: float) -> None:
        """Start what is due ``now_s`` seconds after the first phase began; reap what has ended."""
        self._now_s = now_s
        while self._waiting and self._waiting[-1].start_s <= now_s:
            self._start(self._waiting.pop(), now_s)
        for session in self.paces.due(now_s, self._load()):
            self._start(session, now_s)
        still_running = []
        for item in self._running:
            code = item.process.poll()
            if code is not None:
                self._record(item, code, "ok" if code == 0 else "failed")
            elif now_s > item.latest_s:
                self._hung.append(item.session)
                self._ending.append((item, self._pool.submit(item.process.stop, GRACE_S)))
            else:
                still_running.append(item)
        self._running = still_running
        self._reap_hung()

    def stop(self) -> None:
        """End what still runs, all at once."""
        stopped, self._running = self._running, []
        self._ending += [(item, self._pool.submit(item.process.stop, GRACE_S)) for item in stopped]
        self._pool.shutdown()
        self._reap_hung()
        if self._hung:
            first = self._hung[0]
            self._losses.add(
                f"{len(self._hung)} sessions hung and were ended, first {first.id} ({first.kind}, "
                f"{first.user})"
            )

    def _load(self) -> Load:
        running = [self._flows.get(item.session.id, 0) for item in self._running]
        return Load(running, self._ended, self._ended_flows, self._ended_flows + sum(running))

    def _start(self, session: SessionPlan, now_s: float) -> None:
        start_ns = time.time_ns()
        try:
            process = self._backend.spawn(session.host, session_command(session))
        except HostGoneError as error:
            self._losses.add(f"{error}; its sessions from then on did not take place")
            self.outcomes["not_started"] += 1
            return
        latest_s = now_s + session.duration_s + OVERTIME_S
        self._running.append(_Running(session, process, start_ns, latest_s))

    def _reap_hung(self) -> None:
        ended = [(item, future) for item, future in self._ending if future.done()]
        self._ending = [(item, future) for item, future in self._ending if not future.done()]
        for item, future in ended:
            self._record(item, future.result(), "stopped")

    def _record(
        self, item: _Running, code: int | None, outcome: Literal["ok", "failed", "stopped"]
    ) -> None:
        session = item.session
        stop_ns = time.time_ns()
        self.outcomes[outcome] += 1
        self._ended += 1
        self._ended_flows += self._flows.get(session.id, 0)
        self._journal.write(
            ActivityRecord(
                id=session.id,
                name=session.name,
                kind=session.kind,
                variant=session.variant,
                params=session.params,
                user=session.user,
                host=session.host,
                addresses=self._addresses(session.host),
                container=self._containers[session.host],
                owner=session.owner,
                peers=tuple(peer for target in session.peers for peer in _peers(target)),
                start_ns=item.start_ns,
                stop_ns=stop_ns,
                outcome=outcome,
                exit_code=code,
                effect=self._effect(session),
                inside=_inside(session),
                origin=catalogue()[session.kind].origin,
            )
        )
        if session.variant in catalogue()[session.kind].untracked:
            self._record_window(session, item.start_ns, stop_ns)

    def _record_window(self, session: SessionPlan, start_ns: int, stop_ns: int) -> None:
        node = self._plan.lab.node(session.host)
        with LineWriter(self._run_dir / WINDOWS) as windows:
            windows.write(
                WindowRecord(
                    activity=session.id,
                    host=session.host,
                    addresses=self._addresses(session.host),
                    macs=tuple(map(node_mac, node.links)) if self._backend.wires else (),
                    start_ns=start_ns,
                    stop_ns=stop_ns,
                )
            )

    def _addresses(self, host: str) -> tuple[str, ...]:
        return tuple(map(str, self._plan.lab.seen_as(host)))

    def _effect(self, session: SessionPlan) -> dict[str, object] | None:
        effect = None
        for event in read_events(self._run_dir / LOGS / session.host / session_log(session)):
            if event.get("event") == "effect":
                effect = event
        return effect


def _inside(session: SessionPlan) -> InsideRecord | None:
    if session.inside is None:
        return None
    inside = session.inside
    return InsideRecord(
        kind=inside.kind,
        variant=inside.variant,
        params=inside.params,
        services=tuple(peer.service for peer in inside.peers),
    )


def _peers(endpoint: Endpoint) -> list[Peer]:
    """One peer per port, or a single one for any port."""
    ports: tuple[int | None, ...] = (None,) if endpoint.port is None else endpoint.ports
    return [
        Peer(
            service=endpoint.service,
            kind=endpoint.kind,
            host=endpoint.host,
            address=endpoint.address,
            port=port,
            protocol=protocol_name(endpoint.protocol),
        )
        for port in ports
    ]
