"""Clients that start tools: a home of their own, an end with the session, and what they said."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import PeerError, Session

MARGIN_S = 0.3  # a tool ends so long before its session
LEAST_S = 0.2
END_S = 2.0  # how long tools may take to be gone


class Ran(NamedTuple):
    """A tool that has run: its exit code, and its output as text; ``late`` when it was ended."""

    code: int
    output: str
    late: bool = False


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A folder for what tools read and write; removed afterwards, when they have ended."""
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    try:
        yield folder
    finally:
        with _undisturbed():
            end_others()
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """The session's end waits until this is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_others() -> None:
    """End what this program has started, and what that has: whoever else is of its group."""
    if os.getpgrp() != os.getpid():
        return  # started by hand: the group is not its own
    deadline = time.monotonic() + END_S
    while (left := list(_others())) and time.monotonic() < deadline:
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(END_S / 100)


def _others() -> Iterator[int]:
    """The other running processes of this one's group."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything: state, parent, group.
            state, _, group, *_ = file.read_text(errors="replace").rpartition(")")[2].split()
            number = int(file.parent.name)
            if int(group) == os.getpid() != number and state != "Z":
                yield number


def time_left_s(session: Session) -> float:
    """Seconds that a tool may still take."""
    return max(session.left_s() - MARGIN_S, LEAST_S)


def run_tool(
    session: Session,
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
    fine: Sequence[int] = (0,),
    limit_s: float = 3_600.0,
) -> Ran:
    """Run a tool in a folder that is its home too, until it ends or the session's time is over.

    Raises
    ------
    PeerError
        Its exit code is not among the ``fine`` ones.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "LANG": "C.UTF-8", **(environment or {})},
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=min(time_left_s(session), limit_s),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        return Ran(0, said.decode(errors="replace") if isinstance(said, bytes) else said, late=True)
    if done.returncode not in fine:
        raise PeerError(f"{command[0]} ended with {done.returncode}: {done.stdout[-160:].strip()}")
    return Ran(done.returncode, done.stdout)
