"""Tools that clients start: in a folder of their own, no longer than the session lasts."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common import Session, emit

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
END_S = 1.0  # before the session's own end, so that there is time to say how it went


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def run_tool(
    session: Session, command: Sequence[str], *, home: Path, most_s: float = 3_600.0
) -> str:
    """Run a tool until it ends, or time is over; what it said, on both outputs.

    It gets ``home`` as home and working folder and is interrupted, as by a person's Ctrl-C, when
    ``most_s`` seconds or the session are over. Whatever it started ends with it.
    """
    emit("tool", name=command[0])
    process = subprocess.Popen(
        command,
        cwd=home,
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    said = b""
    try:
        said, _ = process.communicate(timeout=max(min(most_s, session.left_s() - END_S), 0.1))
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGINT)
        try:
            said, _ = process.communicate(timeout=END_S / 2)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            said, _ = process.communicate()
    finally:
        _signal(process, signal.SIGKILL)
    emit("tool-end", name=command[0], code=process.returncode)
    return _COLOURS.sub("", said.decode(errors="replace"))


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
