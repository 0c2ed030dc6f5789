"""The server programs of a run: started, awaited, and written into the journal when they end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from launcher.backend import Backend, Process
from launcher.commands import read_events, service_command, service_log
from launcher.losses import Losses
from launcher.plan import ServicePlan
from launcher.records import ServiceRecord, protocol_name
from launcher.rundir import LOGS, LineWriter
from topologies.errors import LabError

READY_TIMEOUT_S: Final = 60.0
READY_POLL_S: Final = 0.02
GRACE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Started:
    service: ServicePlan
    process: Process
    start_ns: int


class Servers:
    """Every service of the plan, from start to stop.

    One that ends during the run ends alone: its clients see what clients of a dead server see, the
    journal says when it ended, and the run says what it lost.
    """

    def __init__(
        self,
        backend: Backend,
        run_dir: Path,
        services: Sequence[ServicePlan],
        *,
        journal: LineWriter,
        containers: Mapping[str, str],
        losses: Losses,
    ) -> None:
        self._run_dir, self._journal, self._containers = run_dir, journal, containers
        self._losses = losses
        self._running = []
        for service in services:
            start_ns = time.time_ns()
            process = backend.spawn(service.host, service_command(service))
            self._running.append(_Started(service, process, start_ns))

    def await_ready(self) -> None:
        """Return when all of them listen; `LabError` names one that does not."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        for started in self._running:
            while not self._listens(started.service):
                # Of all, not of this one: it may be waiting for another that has ended.
                for other in self._running:
                    if other.process.poll() is not None:
                        raise LabError(self._told(other.service, "did not start"))
                if time.monotonic() > deadline:
                    raise LabError(self._told(started.service, "did not start"))
                time.sleep(READY_POLL_S)

    def check(self) -> None:
        """Write down those that have ended by themselves."""
        for started in tuple(self._running):
            if started.process.poll() is not None:
                self._running.remove(started)
                self._record(started, "failed")
                self._losses.add(self._told(started.service, "ended during the run"))

    def stop(self) -> None:
        """End them all and write their records."""
        self.check()
        for started in self._running:
            started.process.stop(GRACE_S)
            self._record(started, "ok")
        self._running = []

    def _record(self, started: _Started, outcome: Literal["ok", "failed"]) -> None:
        service = started.service
        self._journal.write(
            ServiceRecord(
                id=service.id,
                name=service.name,
                kind=service.kind,
                host=service.host,
                address=service.endpoint.address,
                ports=service.endpoint.ports,
                protocol=protocol_name(service.endpoint.protocol),
                container=self._containers[service.host],
                owner=service.owner,
                start_ns=started.start_ns,
                stop_ns=time.time_ns(),
                outcome=outcome,
            )
        )

    def _listens(self, service: ServicePlan) -> bool:
        return any(event.get("event") == "ready" for event in read_events(self._log(service)))

    def _log(self, service: ServicePlan) -> Path:
        return self._run_dir / LOGS / service.host / service_log(service)

    def _told(self, service: ServicePlan, what: str) -> str:
        missing: list[str] = []  # of a routing daemon: the networks it has no routes to
        for event in read_events(self._log(service)):
            if event.get("event") in ("missing", "converged"):
                missing = [str(name) for name in _listed(event.get("what"))]
        lacks = f" (no route to {', '.join(missing)})" if missing else ""
        return (
            f"service '{service.name}' on host '{service.host}' {what}{lacks}; "
            f"its log is {self._log(service)}"
        )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
