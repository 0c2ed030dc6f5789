"""Containers that help where this user has no right of his own, and what they say by a pipe."""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from launcher.backend import FlowEvent
from launcher.conntrack import BY_GROUP, flow_event
from launcher.netfilter import Flow
from topologies.errors import LabError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

STOP_S: Final = 20.0
THREADS: Final = 8


class Helper:
    """A helper container and what it says; a `launcher.capture.Program`."""

    def __init__(self, client: DockerClient, container: Container, handle: int) -> None:
        self._client, self._container, self._handle = client, container, handle
        self._said = b""

    def fileno(self) -> int:
        """Where what it says is read."""
        return self._handle

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        from docker.errors import APIError

        try:
            self._container.kill(signal=int(number))
        except APIError as error:
            if error.status_code not in (404, 409):  # gone, or not running
                raise

    def ended(self, timeout_s: float) -> bool:
        """Whether it ends within that time."""
        deadline = time.monotonic() + timeout_s
        while self._client.containers.list(filters={"id": str(self._container.id)}):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        self.close()
        return True

    def line(self, timeout_s: float) -> str:
        """The next line it says; what there is of one at its end or after that time."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._said:
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self], [], [], left_s)[0] or not (data := self.read()):
                break
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line.decode(errors="replace")

    def lines(self) -> list[str] | None:
        """Whole lines that wait; None at its end. Call it when there is something to read."""
        data = self.read()
        if not data:
            return None
        *whole, self._said = (self._said + data).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def read(self) -> bytes:
        """What waits; nothing at its end."""
        return os.read(self._handle, 1 << 16)

    def close(self) -> None:
        """Stop listening; may be called twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class AgentWatch:
    """One thread that reads what the helpers say; a `launcher.backend.Watch`."""

    def __init__(
        self, helpers: Mapping[str, Helper], on_event: Callable[[FlowEvent], None]
    ) -> None:
        self._helpers, self._on_event = dict(helpers), on_event
        self.mechanism = BY_GROUP
        self.ends_lost = 0
        self._lost: dict[str, int] = {}
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Have every flow ended, read what is waiting, end; lost reports of flows that began."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda h: h.send_signal(signal.SIGTERM), self._helpers.values()))
        self._thread.join(STOP_S)
        if missing := self._helpers.keys() - self._lost.keys():
            why = self._error or f"nothing more was heard of {', '.join(sorted(missing))}"
            raise LabError(f"the evidence is incomplete: {why}") from self._error
        return sum(self._lost.values())

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for host, helper in self._helpers.items():
                selector.register(helper, selectors.EVENT_READ, host)
            try:
                while selector.get_map():
                    for key, _ in selector.select():
                        if not self._report(key.data):
                            selector.unregister(key.fileobj)
            except OSError as error:  # what `on_event` meets when it writes: a full disk
                self._error = error

    def _report(self, host: str) -> bool:
        """Hand on what one host's helper says; False when that was all."""
        lines = self._helpers[host].lines()
        for value in map(json.loads, lines or ()):
            if isinstance(value, dict):
                self._lost[host] = int(value["lost"])
                self.ends_lost += int(value["ends_lost"])
                return False
            self._on_event(flow_event(host, Flow(*value)))
        return lines is not None
