"""System daemons as the lab's servers: a folder for their files, their start, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import PeerError, Service, emit

READY_S = 20.0
LOOK_S = 0.05
SETTLE_S = 0.2


def workspace(service: Service) -> Path:
    """A folder for a daemon's configuration and data, removed when the server ends."""
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    service.at_end(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


async def start_daemon(
    service: Service,
    command: Sequence[str],
    *,
    folder: Path,
    tcp: Sequence[int] = (),
    udp: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start a daemon in the foreground; return when it listens on these ports.

    Its output goes to this program's, the application log. It ends with the server; when it ends
    by itself the server does too, so that the launcher notices.

    Raises
    ------
    PeerError
        It ended at once, or does not listen after `READY_S` seconds.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder), **(environment or {})},
    )
    service.at_end(lambda: _kill(process))
    deadline = time.monotonic() + READY_S
    waiting = [("tcp", port) for port in tcp] + [("udp", port) for port in udp]
    while waiting := [place for place in waiting if not _listens(service.address, *place)]:
        if process.returncode is not None:
            raise PeerError(f"{command[0]} ended with code {process.returncode}")
        if time.monotonic() > deadline:
            raise PeerError(f"{command[0]} does not listen on {waiting[0][0]} {waiting[0][1]}")
        await asyncio.sleep(LOOK_S)
    _watches.add(asyncio.get_running_loop().create_task(_watch(service, process, command[0])))


async def _watch(service: Service, process: asyncio.subprocess.Process, name: str) -> None:
    code = await process.wait()
    await asyncio.sleep(SETTLE_S)  # whoever ends the server ends the daemon in the same moment
    if not service.stopping:
        emit("error", error="daemon", message=f"{name} ended with code {code}")
        service.end()
        os._exit(1)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


_watches: set[asyncio.Task[None]] = set()  # the loop keeps no hold on a task itself


def _listens(address: str, kind: str, port: int) -> bool:
    """Whether a socket is bound there, by the kernel's tables: connecting would be traffic."""
    own = _hex(address)
    bound = (own, "0" * 8, f"{'0' * 16}FFFF0000{own}", "0" * 32)  # the third: own, in IPv6's form
    wanted = {f"{place}:{port:04X}" for place in bound}
    listening = "0A" if kind == "tcp" else "07"
    for name in (kind, f"{kind}6"):
        try:
            lines = Path(f"/proc/self/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            if state == listening and local in wanted:
                return True
    return False


def _hex(address: str) -> str:
    return socket.inet_aton(address)[::-1].hex().upper()
