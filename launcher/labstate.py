"""The labs of this machine: a state file and a lock for each, by which the dead ones are known.

The state file is made before anything else of a lab and removed after everything else. Its launcher
holds a lock on it for as long as it lives, so a lab whose lock can be taken has no launcher any
more, however that died.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from topologies.errors import MachineError

STATE_VARIABLE: Final = "GSTA_STATE_DIR"  # set in a rootless lab, where everybody is root
LAB_LABEL: Final = "gsta.lab"


@dataclass(frozen=True, slots=True)
class LabState:
    """What a state file says. ``pid`` is the launcher's as it saw itself.

    A ``temporary`` run directory goes with the lab: it is a machine's part of a run elsewhere.
    """

    id: str
    backend: str
    run_dir: str
    pid: int
    temporary: bool = False


class Lab:
    """A living lab: its id, its state file, and the lock that says its launcher lives."""

    def __init__(self, state: LabState, file: Path, lock: IO[str]) -> None:
        self.state, self.id = state, state.id
        self.run_dir = Path(state.run_dir)
        self._file, self._lock = file, lock

    @classmethod
    def create(cls, *, backend: str, run_dir: Path, temporary: bool = False) -> Lab:
        """Make a lab with an id of its own; nothing but its state file exists yet."""
        folder = labs_directory()
        while True:
            place = str(run_dir.resolve())
            state = LabState(_new_id(), backend, place, os.getpid(), temporary)
            file = folder / f"{state.id}.json"
            handle, hidden = tempfile.mkstemp(dir=folder, prefix=".")
            lock = os.fdopen(handle, "w")
            try:
                # Locked before it has its name, so no wipe ever sees it unlocked.
                fcntl.flock(lock, fcntl.LOCK_EX)
                json.dump(asdict(state), lock)
                lock.flush()
                os.link(hidden, file)
            except FileExistsError:
                lock.close()
            else:
                return cls(state, file, lock)
            finally:
                Path(hidden).unlink()

    @property
    def labels(self) -> dict[str, str]:
        """What every container and engine network of the lab is labelled with."""
        return {LAB_LABEL: self.id}

    @property
    def folder(self) -> Path:
        """For small files the lab's hosts need; gone when the lab is."""
        path = _lab_folder(self._file)
        path.mkdir(exist_ok=True)
        return path

    def close(self) -> None:
        """Forget the lab, once everything of it has been removed; may be called twice."""
        if not self._lock.closed:
            forget(self._file)
            self._lock.close()

    def abandon(self) -> None:
        """Leave the lab to the next wipe, for something of it could not be removed."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def state_directory() -> Path:
    """Where this user's labs are known: ``/run/gsta`` for root."""
    if named := os.environ.get(STATE_VARIABLE):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/run/gsta")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "gsta"
    return Path(tempfile.gettempdir()) / f"gsta-{os.geteuid()}"


def known_here(lab: str) -> bool:
    """Whether the lab of that id was made with this state directory, so that it is ours to wipe."""
    return lab.startswith(_mark())


def dead_labs() -> tuple[LabState, ...]:
    """Labs whose launcher is gone."""
    dead = []
    for file in state_files():
        with claimed(file) as free:
            if free:
                dead.append(read_state(file))
    return tuple(dead)


def state_files() -> tuple[Path, ...]:
    """The state files of this user's labs, living or dead."""
    return tuple(sorted((state_directory() / "labs").glob("[!.]*.json")))


def read_state(file: Path) -> LabState:
    """What a state file says; one that says nothing sensible still names a lab."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return LabState(
            file.stem,
            str(found["backend"]),
            str(found["run_dir"]),
            int(found["pid"]),
            bool(found["temporary"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return LabState(file.stem, "", "", 0)


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Hold a lab's lock, so that nobody else wipes it; False if somebody holds it already."""
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context(file.open("r+"))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another wipe may have held it, finished, and removed it meanwhile.
            free = file.stat().st_ino == os.fstat(handle.fileno()).st_ino
        except (BlockingIOError, FileNotFoundError):
            free = False
        yield free


def folder_of(lab: str) -> Path:
    """Where the small files of a lab are, living or dead."""
    return state_directory() / "labs" / lab


def forget(file: Path) -> None:
    """Remove a lab's folder and, last of all, its state file."""
    shutil.rmtree(_lab_folder(file), ignore_errors=True)
    file.unlink(missing_ok=True)


def _lab_folder(file: Path) -> Path:
    return file.with_suffix("")


def labs_directory() -> Path:
    """Folder of the state files, made if need be; nobody else may look in."""
    folder = state_directory()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise MachineError(
            f"{folder}, where labs are kept track of, belongs to another user",
            remedy=f"remove it, or set {STATE_VARIABLE} to a folder of your own",
        )
    labs = folder / "labs"
    labs.mkdir(mode=0o700, exist_ok=True)
    return labs


def _mark() -> str:
    return hashlib.sha256(os.fsencode(state_directory())).hexdigest()[:4]


def _new_id() -> str:
    return _mark() + secrets.token_hex(2)
