"""Clients that start tools: a home of their own, an end with the session, and what they said."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import PeerError, Session

MARGIN_S = 0.3  # a tool ends so long before its session
LEAST_S = 0.2


class Ran(NamedTuple):
    """A tool that has run: its exit code, and its output as text; ``late`` when it was ended."""

    code: int
    output: str
    late: bool = False


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A folder for what tools read and write, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


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
