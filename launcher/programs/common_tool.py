"""Clients that start tools: a home of their own, an end with the session, and what they said."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import PeerError, Session, emit

MARGIN_S = 0.8  # a tool ends so long before its session, which has to say how it went
HEED_S = 0.3  # how long it may take to heed a signal
LEAST_S = 0.2
END_S = 2.0  # how long tools may take to be gone
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Ran(NamedTuple):
    """A tool that has run: its exit code, what it said on both outputs, without colours.

    ``late`` when it was ended before it was done.
    """

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


def tool_environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a tool sees of the environment: the lab's, and ``folder`` as home."""
    own = {"HOME": str(folder), "LANG": "C.UTF-8", "TERM": "xterm"}
    return {**os.environ, **own, **(more or {})}


def run_tool(
    session: Session,
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    fine: Collection[int] | None = (0,),
    limit_s: float = 3_600.0,
) -> Ran:
    """Run a tool in a folder that is its home too, until it ends.

    When ``limit_s`` seconds or the session's time are over it is interrupted, as by a person's
    Ctrl-C, and killed if it does not heed that; neither is an error.

    Raises
    ------
    PeerError
        Its exit code is not among the ``fine`` ones; None takes any.
    """
    name = Path(command[0]).name
    emit("tool", name=name)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=tool_environment(folder, environment),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    late = False
    try:
        text = None if stdin is None else stdin.encode()
        said, _ = process.communicate(text, timeout=min(time_left_s(session), limit_s))
    except subprocess.TimeoutExpired:
        late, said = True, _interrupt(process)
    finally:
        process.kill()
        process.wait()
    code = process.returncode
    emit("tool-end", name=name, code=code, bytes=len(said), late=late)
    output = _COLOURS.sub("", said.decode(errors="replace"))
    if not late and fine is not None and code not in fine:
        raise PeerError(f"{command[0]} ended with {code}: {output[-160:].strip()}")
    return Ran(code, output, late)


def _interrupt(process: subprocess.Popen[bytes]) -> bytes:
    """End a tool; what it has said."""
    said = b""
    for number in (signal.SIGINT, signal.SIGKILL):
        process.send_signal(number)
        try:
            said, _ = process.communicate(timeout=HEED_S)
        except subprocess.TimeoutExpired as error:
            said = error.output or b""  # it goes on, or something that it started holds its output
        else:
            break
    return said
