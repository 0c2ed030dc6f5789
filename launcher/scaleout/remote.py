"""The launcher's side of one machine: its agent, started however it is reached, asked and heard."""

from __future__ import annotations

import itertools
import logging
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final

from launcher.backend import HostGoneError
from launcher.scaleout.channel import Channel
from topologies.errors import LabError, MachineError

log = logging.getLogger(__name__)

ANSWER_S: Final = 120.0
BUILD_S: Final = 3_600.0  # images may have to be built there
END_S: Final = 30.0
_SAID: Final = 2_000  # bytes of its standard error, in a message

Handler = Callable[[Mapping[str, Any], bytes], None]


class RemoteEngine:
    """A machine of the lab, while its agent runs.

    Attributes
    ----------
    name
        As the engines file has it.
    gone
        Why nothing more can be asked of it; empty while it can.
    """

    def __init__(self, name: str, command: Sequence[str], *, errors: Path) -> None:
        self.name, self.gone = name, ""
        self._errors = errors
        self._handlers: Mapping[str, Handler] = MappingProxyType({})
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        with errors.open("wb") as said:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,  # a Ctrl-C is for the launcher, which ends it in order
                )
            except OSError as error:
                raise MachineError(
                    f"engine '{name}' cannot be reached: {error}",
                    remedy="correct reach: in the engines file",
                ) from error
        assert self._process.stdin is not None  # noqa: S101 - as asked above
        assert self._process.stdout is not None  # noqa: S101
        self._channel = Channel(self._process.stdout, self._process.stdin)
        self._thread = threading.Thread(target=self._receive, name=f"engine {name}", daemon=True)
        self._thread.start()

    def hear(self, handlers: Mapping[str, Handler]) -> None:
        """Call these with what it tells by itself, in its own thread, in the order told."""
        self._handlers = MappingProxyType(dict(handlers))

    def begin(self, do: str, **particulars: object) -> Future[Any]:
        """Ask for something without waiting; what it gives."""
        asked: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            if not self.gone:
                self._waiting[number] = asked
        if self.gone:
            asked.set_exception(self.error())
            return asked
        with suppress(OSError):  # it is going: whoever waits will be told
            self._channel.send({"id": number, "do": do, "with": particulars})
        return asked

    def ask(self, do: str, *, wait_s: float = ANSWER_S, **particulars: object) -> Any:
        """Ask for something; what it gives.

        Raises
        ------
        HostGoneError, MachineError, LabError
            As the machine says, with the engine's name; or it has gone.
        """
        return self.result(self.begin(do, **particulars), wait_s)

    def result(self, asked: Future[Any], wait_s: float = ANSWER_S) -> Any:
        """What was begun gives; raises as `ask`."""
        try:
            return asked.result(wait_s)
        except TimeoutError as error:
            raise LabError(f"engine '{self.name}' has not answered for {wait_s:.0f} s") from error

    def clock_ns(self) -> int:
        """What its clock says."""
        return int(self.ask("clock"))

    def error(self) -> LabError:
        """It has gone, and why."""
        return LabError(f"engine '{self.name}' has gone away: {self.gone}")

    def close(self) -> None:
        """End the connection, upon which it removes what it still has; may be called twice."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(END_S)
        if said := self._said():
            log.info("engine '%s' said: %s", self.name, said)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _receive(self) -> None:
        why = ""
        try:
            for message, data in self._channel.received():
                if handler := self._handlers.get(str(message.get("tell"))):
                    handler(message, data)
                elif asked := self._waiting.pop(message.get("id", -1), None):
                    self._resolve(asked, message)
        except (OSError, ValueError, KeyError) as error:  # a full disk here; no agent there
            why = str(error)
        self._lost(why)

    def _resolve(self, asked: Future[Any], message: Mapping[str, Any]) -> None:
        if failed := message.get("failed"):
            asked.set_exception(raised(self.name, failed))
        else:
            asked.set_result(message.get("gives"))

    def _lost(self, why: str) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        said = self._said()
        code = self._process.poll()
        ended = "it does not listen any more" if code is None else f"it ended with exit code {code}"
        with self._lock:
            self.gone = "; ".join(part for part in (why, ended, said) if part)
            waiting, self._waiting = self._waiting, {}
        for asked in waiting.values():
            asked.set_exception(self.error())

    def _said(self) -> str:
        return self._errors.read_bytes()[-_SAID:].decode(errors="replace").strip()


def raised(engine: str, failed: Mapping[str, str]) -> MachineError | LabError:
    """What the launcher raises for what went wrong on a machine."""
    if failed["kind"] == "host":
        return HostGoneError(failed["host"], f"{failed['text']} (engine '{engine}')")
    if failed["kind"] == "machine":
        return MachineError(f"engine '{engine}': {failed['text']}", remedy=failed["remedy"])
    return LabError(f"engine '{engine}': {failed['text']}")


class Files:
    """Files of the run that a machine sends in pieces: growing logs, captures at the end."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def append(self, message: Mapping[str, Any], data: bytes) -> None:
        """Take in a piece; `ValueError` for a place outside the run directory."""
        place = PurePosixPath(str(message["path"]))
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"it sent a file '{place}'")
        file = self._run_dir / place
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(data)
