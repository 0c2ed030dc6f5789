"""rsync: trees of a server pulled, pushed and brought up to date by differences."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from common import PeerError, Service, Session, emit, main, word
from common_tool import home, run_tool
from common_tree import edit, plant

MODULES = ("docs", "media", "mirror")
INBOX = "inbox"
VERSION = 31  # of the protocol; what is more is of no use to the lab
BLOCK = 65_536


async def serve(service: Service) -> None:
    """Serve some trees, and an inbox for what clients push."""
    import common_net
    from common_daemon import workspace

    folder, rng = workspace(service), service.rng
    words = " ".join(word(rng) for _ in range(rng.randint(0, 30)))
    (folder / INBOX).mkdir()
    for name, files, median in zip(MODULES, (160, 25, 80), (6_000, 200_000, 30_000), strict=True):
        count = rng.randint(files // 2, files)
        plant(rng, folder / name, files=count, median_bytes=median, budget_bytes=8 << 20)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Connection(folder, words, reader, writer).serve()

    for port in service.ports:
        await common_net.listen(service, port, handler)


class _Connection:
    """The daemon's greeting; then rsync itself.

    rsync as a daemon of root's insists on changing its groups, by which flows are owned. Started
    as the other end of a shell it does not, and speaks the same, but for the version: that comes
    as four bytes there, as text here.
    """

    def __init__(
        self,
        folder: Path,
        words: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.folder, self.words = folder, words
        self.reader, self.writer = reader, writer

    async def serve(self) -> None:
        """Greet, take the wish, and let rsync do it."""
        self.writer.write(f"@RSYNCD: {VERSION}.0\n".encode())
        if not (await self.reader.readline()).startswith(b"@RSYNCD: "):
            raise PeerError("no rsync")
        module = (await self.reader.readline()).decode().strip()
        if self.words:
            self.writer.write(f"{self.words}\n\n".encode())
        if module in ("", "#list"):
            names = "".join(f"{name:15}\t\n" for name in (*MODULES, INBOX))
            self.writer.write(f"{names}@RSYNCD: EXIT\n".encode())
            return
        if module not in (*MODULES, INBOX):
            self.writer.write(f"@ERROR: Unknown module '{module}'\n".encode())
            return
        self.writer.write(b"@RSYNCD: OK\n")
        await self._run(module)

    async def _run(self, module: str) -> None:
        arguments = []
        while argument := (await self.reader.readuntil(b"\0"))[:-1].decode():
            arguments.append(argument)
        path = arguments[-1] if arguments else ""
        if arguments[:1] != ["--server"] or path.split("/")[0] != module or ".." in path:
            raise PeerError("no such wish")
        if module == INBOX:
            (self.folder / path).mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            "rsync",
            *arguments,
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("pipes were asked for")
        process.stdin.write(VERSION.to_bytes(4, "little"))
        up = asyncio.create_task(_copy(self.reader, process.stdin))
        try:
            await process.stdout.readexactly(4)
            size = await _copy(process.stdout, self.writer)
            emit("sync", module=module, reply_bytes=size, sender="--sender" in arguments)
        finally:
            up.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> int:
    """Pass on what comes; its size in bytes."""
    size = 0
    while block := await source.read(BLOCK):
        sink.write(block)
        await sink.drain()
        size += len(block)
    return size


class User:
    """One user: where the server is, and the habits of the command line."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.folder = folder
        self.server = f"rsync://{session.peer['address']}:{session.port}"
        self.module = str(self.params.get("module", MODULES[0]))

    def run(self, *arguments: str) -> None:
        """One rsync; its statistics are the event."""
        command = ["rsync", "--contimeout=5", "--stats", *self.params.get("options", [])]
        ran = run_tool(self.session, [*command, *arguments], self.folder)
        numbers = {}
        for line in ran.output.splitlines():
            name, _, value = line.partition(": ")
            digits = value.split(" ")[0].replace(",", "")
            if name.startswith("Total bytes") and digits.isdigit():
                numbers[name.split()[-1]] = int(digits)
        emit("sync", late=ran.late, **numbers)

    def edit(self, tree: Path) -> None:
        """Change some of a tree's files."""
        files = sorted(path for path in tree.rglob("*") if path.is_file())
        for path in self.rng.sample(files, min(len(files), self.rng.randint(1, 6))):
            edit(self.rng, path)


def act(session: Session) -> None:
    """List, pull, or push, again and again."""
    variant = str(session.params["variant"])
    with home() as folder:
        user = User(session, folder)
        copy = folder / "copy"
        copy.mkdir()
        if variant in ("push", "push-again"):
            size = int(session.params.get("budget_kb", 2_000)) << 10
            count = user.rng.randint(3, 40)
            plant(user.rng, copy, files=count, median_bytes=size / count / 3, budget_bytes=size)
        inbox = f"{user.server}/inbox/{word(user.rng)}-{user.rng.getrandbits(30):x}/"
        for action in range(int(session.params.get("actions", 2))):
            if action and not session.rest():
                return
            if variant == "list":
                user.run("--list-only", "-r", f"{user.server}/{user.rng.choice(MODULES)}/")
            elif variant == "pull":
                some = [f"--include=*.{kind}" for kind in ("txt", "csv", "md", "pdf")[: action + 1]]
                user.run(
                    "-r",
                    "--include=*/",
                    *some,
                    "--exclude=*",
                    f"{user.server}/{user.module}/",
                    f"{copy}/",
                )
            elif variant == "pull-again":
                user.run("-r", "-I", f"{user.server}/{user.module}/", f"{copy}/")
                user.edit(copy)
            else:
                user.run("-r", "-I", f"{copy}/", inbox)
                if variant == "push-again":
                    user.edit(copy)
                else:
                    inbox = f"{inbox[:-1]}-{action}/"


if __name__ == "__main__":
    main(serve, act)
