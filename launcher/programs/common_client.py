"""Command-line clients of the lab programs: run in a folder of their own, inside their session."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from common import PeerError, Session, emit

SHARE_S = 0.2  # what a session keeps for itself when a client takes too long


def actions(session: Session, usual: int = 5) -> Iterator[int]:
    """Numbers of the session's actions, with thinking between them, while there is time."""
    for action in range(int(session.params.get("actions", usual))):
        if action and not session.rest(float(session.params.get("think_scale", 1.0))):
            return
        yield action


async def paced_actions(session: Session, usual: int = 5) -> AsyncIterator[int]:
    """`actions` for asynchronous clients."""
    for action in range(int(session.params.get("actions", usual))):
        if action and not await session.pause(float(session.params.get("think_scale", 1.0))):
            return
        yield action


@contextmanager
def home() -> Iterator[Path]:
    """A folder for a client's files, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def client_environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a client sees of the environment: the lab's, and ``folder`` as home."""
    return {**os.environ, "HOME": str(folder), "TERM": "xterm", **(more or {})}


def run_client(
    session: Session,
    command: Sequence[str],
    *,
    folder: Path,
    stdin: bytes = b"",
    codes: Collection[int] = (0,),
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a client to its end; what it wrote.

    It is ended, which is no error, when the session's time is over.

    Raises
    ------
    PeerError
        It ended with another code than ``codes``.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=max(session.left_s() - SHARE_S, 0.1),
            cwd=folder,
            env=client_environment(folder, environment),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        emit("client", tool=name, bytes=len(error.output or b""), ended=False)
        return error.output or b""
    emit("client", tool=name, bytes=len(done.stdout), status=done.returncode)
    if done.returncode not in codes:
        raise PeerError(f"{name}: {done.stdout[-150:].decode(errors='replace')}")
    return done.stdout
