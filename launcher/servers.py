"""The server programs of a run: started, awaited, and written into the journal when they end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from launcher.backend import Backend, Process
from launcher.commands import read_events, service_command, service_log
from launcher.plan import ServicePlan
from launcher.records import ServiceRecord, protocol_name
from launcher.rundir import LOGS, LineWriter
from topologies.errors import LabError

READY_TIMEOUT_S: Final = 60.0
READY_POLL_S: Final = 0.02
GRACE_S: Final = 3.0


class Servers:
    """Every service of the plan, from start to stop."""

    def __init__(self, backend: Backend, run_dir: Path, services: Sequence[ServicePlan]) -> None:
        self._backend, self._run_dir = backend, run_dir
        self._started: list[tuple[ServicePlan, Process, int]] = []
        for service in services:
            start_ns = time.time_ns()
            process = backend.spawn(service.host, service_command(service))
            self._started.append((service, process, start_ns))

    def await_ready(self) -> None:
        """Return when all of them listen; `LabError` names one that does not."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        for service, _, _ in self._started:
            while not self._listens(service):
                # Of all, not of this one: it may be waiting for another that has ended.
                for other, process, _ in self._started:
                    if process.poll() is not None:
                        raise self._failure(other, "did not start")
                if time.monotonic() > deadline:
                    raise self._failure(service, "did not start")
                time.sleep(READY_POLL_S)

    def check(self) -> None:
        """Raise `LabError` if one of them has ended."""
        for service, process, _ in self._started:
            if process.poll() is not None:
                raise self._failure(service, "ended during the run")

    def stop(self, journal: LineWriter, containers: Mapping[str, str]) -> None:
        """End them all and write their records."""
        for service, process, start_ns in self._started:
            died = process.poll() is not None
            process.stop(GRACE_S)
            journal.write(
                ServiceRecord(
                    id=service.id,
                    name=service.name,
                    kind=service.kind,
                    host=service.host,
                    address=service.endpoint.address,
                    ports=service.endpoint.ports,
                    protocol=protocol_name(service.endpoint.protocol),
                    container=containers[service.host],
                    owner=service.owner,
                    start_ns=start_ns,
                    stop_ns=time.time_ns(),
                    outcome="failed" if died else "ok",
                )
            )

    def _listens(self, service: ServicePlan) -> bool:
        return any(event.get("event") == "ready" for event in read_events(self._log(service)))

    def _log(self, service: ServicePlan) -> Path:
        return self._run_dir / LOGS / service.host / service_log(service)

    def _failure(self, service: ServicePlan, what: str) -> LabError:
        missing: list[str] = []  # of a routing daemon: the networks it has no routes to
        for event in read_events(self._log(service)):
            if event.get("event") in ("missing", "converged"):
                missing = [str(name) for name in _listed(event.get("what"))]
        lacks = f" (no route to {', '.join(missing)})" if missing else ""
        return LabError(
            f"service '{service.name}' on host '{service.host}' {what}{lacks}; "
            f"its log is {self._log(service)}"
        )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
