"""What a machine does for a lab that is on several: its part, with the back end of a lab on one."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import TypeAdapter

from launcher.backend import Backend, Capture, Command, FlowEvent, Process, Watch
from launcher.capture import CaptureOptions
from launcher.impair.verify import verify
from launcher.labs import Lab
from launcher.machine import machine_facts, versions
from launcher.plan import LabPlan
from launcher.rundir import CAPTURES, LOGS
from launcher.scaleout import tunnels
from launcher.scaleout.channel import MOST_BYTES
from launcher.scaleout.division import CableEnd, network_of
from topologies.errors import LabError
from topologies.impairments import Stage

LOOK_S: Final = 0.025
SELDOM: Final = 20  # looks, between those at captures and links
PLAN: Final = TypeAdapter(LabPlan)
ENDS: Final = TypeAdapter(tuple[CableEnd, ...])
COMMAND: Final = TypeAdapter(Command)
OPTIONS: Final = TypeAdapter(CaptureOptions)
STAGE: Final = TypeAdapter(Stage)
EVENT_FIELDS: Final = tuple(FlowEvent.__dataclass_fields__)

Tell = Callable[..., None]
"""Called with what there is to tell, its particulars by keyword, and ``data``."""


class WiredBackend(Backend, Protocol):
    """A back end that wires its hosts itself, so that they can be wired to other machines."""

    def path(self, node: str) -> Path:
        """Network namespace of a node."""

    def fabric(self) -> Path:
        """Network namespace of the bridges."""


@dataclass(slots=True)
class _Running:
    """A program, and how much of its log has been told."""

    process: Process
    log: Path
    told_bytes: int = 0


class Duties:
    """One machine's part of one lab. Every public method is something that can be asked for."""

    def __init__(self, make: Callable[[str, Lab], WiredBackend], tell: Tell) -> None:
        self._make, self._tell = make, tell
        self._lab: Lab | None = None
        self._backend: WiredBackend | None = None
        self._plan: LabPlan | None = None
        self._run_dir = Path()
        self._running: dict[int, _Running] = {}
        self._captures: dict[int, Capture] = {}
        self._watch: Watch | None = None
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._building = threading.Lock()  # nothing is removed while it is being made
        self._over = threading.Event()
        self._looker = threading.Thread(target=self._look, name="look", daemon=True)

    def open(self, backend: str) -> dict[str, Any]:
        """Make the lab, with nothing in it; what it is called here, and facts about the machine."""
        place = os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108 - captures are too large for /tmp
        self._run_dir = Path(tempfile.mkdtemp(prefix="gsta-part-", dir=place))
        for folder in (CAPTURES, LOGS):
            (self._run_dir / folder).mkdir()
        self._lab = Lab.create(backend=backend, run_dir=self._run_dir, temporary=True)
        return {"lab": self._lab.id, "machine": machine_facts(), "versions": versions()}

    def up(self, plan: object) -> dict[str, Any]:
        """Build the part; as `Backend.up`, and what else it found."""
        with self._building:
            if self._lab is None or self._over.is_set():
                raise LabError("there is no lab")
            self._plan = PLAN.validate_python(plan)
            self._backend = self._make(self._lab.state.backend, self._lab)
            containers = self._backend.up(self._plan, self._run_dir)
            found = verify(self._backend.links)
            self._looker.start()
            return {
                "containers": dict(containers),
                "images": dict(self._backend.images),
                "notes": list(self._backend.notes),
                "verified": [link.model_dump(mode="json") for link in found],
            }

    def join(self, ends: object, underlay: str) -> list[str]:
        """Lay this machine's ends of the long cables; what is not as it should be, in words."""
        backend, plan = self._built()
        found = tunnels.join(plan, backend.fabric(), ENDS.validate_python(ends), underlay)
        return list(found)

    def carries(self, node: str, source: str, target: str, mtu: int) -> bool:
        """Whether a node's network lets a full packet through and back."""
        return tunnels.carries(self._built()[0].path(node), source, target, mtu=mtu)

    def spawn(self, host: str, command: object) -> int:
        """Start a program; its number. ``log`` and ``ended`` are told of it."""
        order = COMMAND.validate_python(command)
        process = self._built()[0].spawn(host, order)
        with self._lock:
            number = next(self._numbers)
            self._running[number] = _Running(process, Path(LOGS) / host / order.log)
        return number

    def stop(self, process: int, grace_s: float) -> int | None:
        """End a program; its exit code."""
        with self._lock:
            running = self._running.pop(process, None)
        if running is None:
            return None  # its end has been told
        code = running.process.stop(grace_s)
        self._tell_log(running)
        return code

    def capture(self, point: str, file: str, options: object) -> int:
        """Start a capture; its number. ``capture-failed`` is told of it."""
        path = self._run_dir / CAPTURES / file
        capture = self._built()[0].capture(point, path, OPTIONS.validate_python(options))
        with self._lock:
            number = next(self._numbers)
            self._captures[number] = capture
        return number

    def stop_capture(self, capture: int) -> dict[str, Any]:
        """End a capture; its record, once its files have been told as ``file``."""
        with self._lock:
            running = self._captures.pop(capture)
        record = running.stop()
        for name in (record.file, *record.further):
            if name:
                self._send_file(name)
        return record.model_dump(mode="json")

    def watch(self) -> dict[str, str]:
        """Tell of flows from now on, as ``flow``; how it is known whose they are."""
        self._watch = self._built()[0].watch(self._on_event)
        return {"mechanism": self._watch.mechanism}

    def unwatch(self) -> dict[str, int]:
        """Tell what is left, and no more; what is missing."""
        if self._watch is None:
            return {"lost": 0, "ends_lost": 0}
        lost = self._watch.stop()
        return {"lost": lost, "ends_lost": self._watch.ends_lost}

    def change(self, network: str, stage: object) -> None:
        """Impair this machine's cables of a network differently."""
        backend, plan = self._built()
        wanted = STAGE.validate_python(stage)
        for segment in plan.segments:
            if network_of(segment.name) == network and segment.name in backend.links.mechanism:
                backend.links.change(segment.name, wanted)

    def overrun(self) -> int:
        """Frames that the links lost though nobody asked for it."""
        return self._built()[0].links.overrun()

    def down(self) -> None:
        """Remove everything; may be called twice, and at any time."""
        self._over.set()
        with self._building:
            if self._looker.is_alive():
                self._looker.join()
            try:
                if self._backend is not None:
                    self._backend.down()
                elif self._lab is not None:
                    self._lab.close()
            finally:
                if self._lab is not None:
                    shutil.rmtree(self._run_dir, ignore_errors=True)

    def _built(self) -> tuple[WiredBackend, LabPlan]:
        if self._backend is None or self._plan is None:
            raise LabError("this part of the lab is not up yet")
        return self._backend, self._plan

    def _on_event(self, event: FlowEvent) -> None:
        self._tell("flow", event=[getattr(event, name) for name in EVENT_FIELDS])

    def _look(self) -> None:
        """Tell what becomes of programs, captures and links, until all is over."""
        looks = 0
        with contextlib.suppress(OSError):  # nobody listens any more
            while not self._over.wait(LOOK_S):
                for number in list(self._running):
                    self._look_at(number)
                looks += 1
                if looks % SELDOM == 0:
                    self._check()

    def _look_at(self, number: int) -> None:
        with self._lock:
            running = self._running.get(number)
            if running is None:
                return  # somebody ends it just now
            code = running.process.poll()
            self._tell_log(running)  # after the poll: what ended has written everything
            if code is not None:
                del self._running[number]
                self._tell("ended", process=number, code=code)

    def _tell_log(self, running: _Running) -> None:
        path = self._run_dir / running.log
        if not path.exists() or path.stat().st_size <= running.told_bytes:
            return
        with path.open("rb") as stream:
            stream.seek(running.told_bytes)
            while data := stream.read(MOST_BYTES):
                running.told_bytes += len(data)
                self._tell("file", path=str(running.log), data=data)

    def _send_file(self, name: str) -> None:
        with (self._run_dir / name).open("rb") as stream:
            while data := stream.read(MOST_BYTES):
                self._tell("file", path=name, data=data)

    def _check(self) -> None:
        with self._lock:
            for number, capture in self._captures.items():
                if why := capture.failure():
                    self._tell("capture-failed", capture=number, why=why)
        try:
            self._built()[0].links.check()
        except LabError as error:
            self._tell("links-failed", why=str(error))
