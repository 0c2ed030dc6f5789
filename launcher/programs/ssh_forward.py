"""SSH as a tunnel: channels of a library's client, OpenSSH's -L, and OpenSSH's SOCKS (-D).

The server is that of ``ssh.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common import PeerError, Session, begun, emit, main, word
from common_inside import LOOPBACK, Streams, carry, play
from common_socks import ask
from common_tool import home

START_S = 10.0


async def act(session: Session) -> None:
    """Carry another activity inside SSH."""
    variant = session.params["variant"]
    if variant == "channels":
        await _channels(session)
    elif variant == "dynamic":
        await _dynamic(session)
    else:
        await _local(session)


async def _channels(session: Session) -> None:
    from common_ssh import login

    async with login(session) as connection:

        async def through(address: str, port: int) -> Any:
            return await connection.open_connection(address, port)

        await carry(session, through)


async def _local(session: Session) -> None:
    """One forwarded port for each of the inner service's."""
    peers, options = [], []
    for peer in (session.inside or {"peers": []})["peers"]:
        ports = [_free_port() for _ in peer["ports"]]
        for near, far in zip(ports, peer["ports"], strict=True):
            options += ["-L", f"{LOOPBACK}:{near}:{peer['address']}:{far}"]
        peers.append({**peer, "address": LOOPBACK, "port": ports[0], "ports": ports})
    async with _openssh(session, options, waits_for=[p for peer in peers for p in peer["ports"]]):
        await play(session, peers)


async def _dynamic(session: Session) -> None:
    port = _free_port()

    async def through(address: str, far: int) -> Streams:
        streams = await asyncio.open_connection(LOOPBACK, port)
        await ask(streams, address, far, login=None)
        return streams

    async with _openssh(session, ["-D", f"{LOOPBACK}:{port}"], waits_for=[port]):
        await carry(session, through)


@asynccontextmanager
async def _openssh(
    session: Session, options: Sequence[str], *, waits_for: Sequence[int]
) -> AsyncIterator[None]:
    """Debian's ssh with a key of its own, until the context ends."""
    with home() as folder:
        key = folder / "key"
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(made, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        command = ["ssh", "-F", "none", "-N", "-i", str(key), "-p", str(session.port)]
        command += [
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            f"UserKnownHostsFile={folder / 'known'}",
        ]
        command += ["-o", "ExitOnForwardFailure=yes", "-o", "LogLevel=ERROR"]
        command += ["-o", f"Compression={'yes' if session.params['compression'] else 'no'}"]
        command += [*options, f"{word(session.rng)}@{session.peer['address']}"]
        begun()
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)}
        )
        emit("tool", name="ssh")
        try:
            await _listening(process, waits_for)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _listening(process: asyncio.subprocess.Process, ports: Sequence[int]) -> None:
    """Wait until ssh listens; by the kernel's table, as a connection would go through."""
    end = asyncio.get_running_loop().time() + START_S
    wanted = {f"0100007F:{port:04X}" for port in ports}
    while True:
        lines = Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        if wanted <= {line.split()[1] for line in lines if line.split()[3] == "0A"}:
            return
        if process.returncode is not None or asyncio.get_running_loop().time() > end:
            raise PeerError("ssh made no tunnel")
        await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


if __name__ == "__main__":
    main(None, act)
