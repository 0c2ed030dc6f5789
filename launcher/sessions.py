"""The users' sessions of a run: started when due, reaped, and written into the journal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from launcher.backend import Backend, Process
from launcher.commands import read_events, session_command, session_log
from launcher.plan import Endpoint, RunPlan, SessionPlan
from launcher.records import ActivityRecord, InsideRecord, Peer, protocol_name
from launcher.rundir import LOGS, LineWriter

GRACE_S: Final = 3.0
STOPPERS: Final = 32


@dataclass(frozen=True, slots=True)
class _Running:
    session: SessionPlan
    process: Process
    start_ns: int


class Sessions:
    """Every session of the plan, by the clock that the caller keeps."""

    def __init__(
        self,
        backend: Backend,
        plan: RunPlan,
        run_dir: Path,
        journal: LineWriter,
        containers: Mapping[str, str],
    ) -> None:
        self._backend, self._plan, self._run_dir = backend, plan, run_dir
        self._journal, self._containers = journal, containers
        self._waiting = sorted(plan.sessions, key=lambda session: session.start_s, reverse=True)
        self._running: list[_Running] = []
        self.outcomes: Counter[str] = Counter()

    @property
    def done(self) -> bool:
        """Whether all sessions have begun and ended."""
        return not self._waiting and not self._running

    def advance(self, now_s: float) -> None:
        """Start what is due ``now_s`` seconds after the first phase began; reap what has ended."""
        while self._waiting and self._waiting[-1].start_s <= now_s:
            session = self._waiting.pop()
            start_ns = time.time_ns()
            process = self._backend.spawn(session.host, session_command(session))
            self._running.append(_Running(session, process, start_ns))
        still_running = []
        for item in self._running:
            code = item.process.poll()
            if code is None:
                still_running.append(item)
            else:
                self._record(item, code, "ok" if code == 0 else "failed")
        self._running = still_running

    def stop(self) -> None:
        """End what still runs, all at once."""
        stopped, self._running = self._running, []
        with ThreadPoolExecutor(max_workers=STOPPERS) as pool:
            codes = pool.map(lambda item: item.process.stop(GRACE_S), stopped)
            for item, code in zip(stopped, codes, strict=True):
                self._record(item, code, "stopped")

    def _record(
        self, item: _Running, code: int | None, outcome: Literal["ok", "failed", "stopped"]
    ) -> None:
        session = item.session
        stop_ns = time.time_ns()
        self.outcomes[outcome] += 1
        self._journal.write(
            ActivityRecord(
                id=session.id,
                name=session.name,
                kind=session.kind,
                variant=session.variant,
                params=session.params,
                user=session.user,
                host=session.host,
                addresses=tuple(map(str, self._plan.lab.seen_as(session.host))),
                container=self._containers[session.host],
                owner=session.owner,
                peers=tuple(peer for target in session.peers for peer in _peers(target)),
                start_ns=item.start_ns,
                stop_ns=stop_ns,
                outcome=outcome,
                exit_code=code,
                effect=self._effect(session),
                inside=_inside(session),
            )
        )

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
