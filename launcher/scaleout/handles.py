"""What runs on the machines of a lab, as the launcher holds it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from launcher.backend import FlowEvent
from launcher.impair import Links
from launcher.plan import LabPlan
from launcher.records import CaptureRecord, VerifiedLink
from launcher.scaleout.duties import STAGE
from launcher.scaleout.remote import ANSWER_S, RemoteEngine
from topologies.errors import GstaError, LabError
from topologies.impairments import Stage

_KILLED: Final = 128 + signal.SIGKILL  # what has gone with its machine has ended so


class Told:
    """What an engine has told of its programs, captures and links so far."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}  # of programs that have ended, by number
        self.failures: dict[int, str] = {}  # of captures
        self.links = ""

    def ended(self, message: Mapping[str, Any], _: bytes) -> None:
        """A program has ended by itself."""
        self.codes[int(message["process"])] = int(message["code"])

    def capture_failed(self, message: Mapping[str, Any], _: bytes) -> None:
        """A capture has ended by itself."""
        self.failures[int(message["capture"])] = str(message["why"])

    def links_failed(self, message: Mapping[str, Any], _: bytes) -> None:
        """What carries the impaired links has ended."""
        self.links = str(message["why"])


class RemoteProcess:
    """A program on a machine of the lab; a `launcher.backend.Process`."""

    def __init__(self, engine: RemoteEngine, told: Told, number: int) -> None:
        self._engine, self._told, self._number = engine, told, number
        self._code: int | None = None

    def poll(self) -> int | None:
        """Exit code, or None while it runs; whatever runs on a machine ends with it."""
        if self._code is None:
            self._code = self._told.codes.pop(self._number, None)
        if self._code is None and self._engine.gone:
            self._code = _KILLED
        return self._code

    def stop(self, grace_s: float) -> int | None:
        """Ask it to end, then force it; its exit code."""
        if self.poll() is None:
            with suppress(LabError):  # the machine has gone, and it too
                self._code = self._engine.ask(
                    "stop",
                    wait_s=ANSWER_S + grace_s,
                    process=self._number,
                    grace_s=grace_s,
                )
        return self.poll()


class RemoteCapture:
    """A capture on a machine of the lab; a `launcher.backend.Capture`."""

    def __init__(self, engine: RemoteEngine, told: Told, number: int, point: str) -> None:
        self._engine, self._told, self._number, self._point = engine, told, number, point
        self._record: CaptureRecord | None = None

    def failure(self) -> str:
        """Why it has ended by itself; nothing while it runs."""
        if self._engine.gone:
            return f"the capture of {self._point} is lost: {self._engine.error()}"
        return self._told.failures.get(self._number, "")

    def stop(self) -> CaptureRecord:
        """End it and fetch what it captured; may be called twice."""
        if self._record is None:
            try:
                found = self._engine.ask("stop_capture", capture=self._number, wait_s=3_600.0)
                self._record = CaptureRecord.model_validate(found)
            except GstaError as error:
                self._record = CaptureRecord(
                    network=self._point,
                    file="",
                    packets=0,
                    received=0,
                    dropped_by_kernel=0,
                    dropped_by_interface=0,
                    lost=f"the capture of {self._point} is lost: {error}",
                )
        return self._record


class RemoteWatch:
    """The watches of all machines as one; a `launcher.backend.Watch`."""

    def __init__(self, on_event: Callable[[FlowEvent], None]) -> None:
        self._on_event, self._lock = on_event, threading.Lock()
        self._engines: Sequence[RemoteEngine] = ()
        self._error: OSError | None = None
        self._lost: int | None = None
        self.mechanism, self.ends_lost = "", 0

    def start(self, engines: Sequence[RemoteEngine]) -> None:
        """Have every machine watch; ends all if one cannot."""
        self._engines = engines
        begun = [(engine, engine.begin("watch")) for engine in engines]
        try:
            found = {engine.result(asked)["mechanism"] for engine, asked in begun}
        except GstaError:
            with suppress(GstaError):
                self.stop()
            raise
        # The simplest of them is what holds everywhere.
        self.mechanism = min(found, key=len)

    def take(self, message: Mapping[str, Any], _: bytes) -> None:
        """Hand on what a machine tells of a flow; machines tell at the same time."""
        with self._lock:
            try:
                self._on_event(FlowEvent(*message["event"]))
            except OSError as error:  # a full disk, which `stop` tells
                self._error = error

    def stop(self) -> int:
        """Have every flow ended and told; lost reports of flows that began.

        Raises
        ------
        LabError
            A machine has gone, or the evidence could not be written.
        """
        if self._lost is None:
            begun = [(engine, engine.begin("unwatch")) for engine in self._engines]
            found = [engine.result(asked) for engine, asked in begun]
            self._lost = sum(int(item["lost"]) for item in found)
            self.ends_lost = sum(int(item["ends_lost"]) for item in found)
        if self._error is not None:
            raise LabError(f"the evidence is incomplete: {self._error}") from self._error
        return self._lost


class RemoteLinks(Links):
    """The links of all machines as one; measured there."""

    def __init__(
        self,
        plan: LabPlan,
        engines: Mapping[RemoteEngine, Told],
        verified: tuple[VerifiedLink, ...],
    ) -> None:
        super().__init__()
        self.stages = {s.name: s.impairments.stages() for s in plan.segments}
        self.verified = verified
        self._engines = engines

    def change(self, network: str, stage: Stage) -> None:
        """Impair a network differently from now on, on every machine that has cables of it."""
        begun = [
            (e, e.begin("change", network=network, stage=STAGE.dump_python(stage, mode="json")))
            for e in self._engines
        ]
        for engine, asked in begun:
            engine.result(asked)

    def overrun(self) -> int:
        """Frames that a mechanism lost though nobody asked for it."""
        return sum(int(engine.ask("overrun")) for engine in self._engines)

    def check(self) -> None:
        """Raise `LabError` if a machine has gone, or something that carries its links has ended."""
        for engine, told in self._engines.items():
            if engine.gone:
                raise engine.error()
            if told.links:
                raise LabError(f"engine '{engine.name}': {told.links}")
