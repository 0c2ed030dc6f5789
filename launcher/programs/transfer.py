"""File transfer over SSH: SFTP and SCP, up and down, many small files or few large ones.

The server is that of ``ssh.py``.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import common_net
from common import Session, emit, heavy, main, noise, word

FILE_MEDIAN_BYTES = 200_000


def _sizes(session: Session) -> list[int]:
    """Sizes of the files to move, heavy-tailed, inside the session's budget."""
    params, rng = session.params, session.rng
    left = int(params.get("budget_kb", 6_000)) << 10
    median = float(params.get("file_bytes", FILE_MEDIAN_BYTES))
    sizes = []
    for _ in range(int(params.get("actions", 3))):
        size = heavy(rng, median, 1.3, 100, max(left, 101))
        left -= size
        sizes.append(size)
        if left <= 0:
            break
    return sizes


def _name(rng: random.Random, size: int) -> str:
    return f"{word(rng)}-{size}.{rng.choice(('pdf', 'iso', 'txt', 'jpg', 'tgz', 'csv'))}"


async def act(session: Session) -> None:
    """Log in and move files, with pauses between them."""
    from common_ssh import login

    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "sftp-down"))
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        async with login(session) as connection:
            if variant.startswith("scp"):
                await _scp(session, connection, Path(folder), upload=variant == "scp-up")
            else:
                await _sftp(session, connection, Path(folder), variant)


async def _scp(session: Session, connection: Any, folder: Path, *, upload: bool) -> None:
    """One ``scp`` a file, each a channel of the connection."""
    import asyncssh

    rng = session.rng
    block = int(session.params.get("block_bytes", 16_384))
    for number, size in enumerate(_sizes(session)):
        if number and not await session.pause():
            return
        local = folder / _name(rng, size)
        if upload:
            _write(local, size)
            await asyncssh.scp(local, (connection, "/home/"), block_size=block)
        else:
            await asyncssh.scp(
                (connection, f"/srv/{local.name}"),
                local,
                block_size=block,
                preserve=rng.random() < 0.5,
            )
        emit("file", bytes=local.stat().st_size, upload=upload)
        local.unlink()


async def _sftp(session: Session, connection: Any, folder: Path, variant: str) -> None:
    """An SFTP session: look around, then put or get."""
    rng, params = session.rng, session.params
    keywords = {
        "block_size": int(params.get("block_bytes", 16_384)),
        "max_requests": int(params.get("pipelined", 64)),
    }
    async with connection.start_sftp_client() as sftp:
        for number, size in enumerate(_sizes(session)):
            if number and not await session.pause():
                return
            if rng.random() < float(params.get("list_share", 0.3)):
                await sftp.listdir(f"/srv/{word(rng)}")
            upload = variant == "sftp-up" or (variant == "sftp-sync" and rng.random() < 0.5)
            local = folder / _name(rng, size)
            if upload:
                _write(local, size)
                await sftp.put(str(local), f"/home/{local.name}", **keywords)
                if rng.random() < 0.3:
                    await sftp.rename(f"/home/{local.name}", f"/home/{word(rng)}")
            elif variant == "sftp-stream":
                await _stream(sftp, f"/srv/{local.name}", local, keywords["block_size"])
            else:
                await sftp.get(f"/srv/{local.name}", str(local), **keywords)
            emit("file", bytes=local.stat().st_size, upload=upload)
            local.unlink()


async def _stream(sftp: Any, remote: str, local: Path, block: int) -> None:
    """Read block after block, each asked for when the one before has come, as file managers do."""
    with local.open("wb") as stream:
        async with sftp.open(remote, "rb") as source:
            while data := await source.read(block):
                stream.write(data)


def _write(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        for block in noise(size, 65_536):
            stream.write(block)


if __name__ == "__main__":
    main(None, act)
