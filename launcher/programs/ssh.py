"""SSH: a server with a shell and files, and people who type, read, edit, watch and run commands."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import common_net
from common import Service, Session, emit, heavy, main, word

COMMANDS = (
    "ls -la",
    "cat",
    "ps aux",
    "grep -rn",
    "tail -n 40",
    "df -h",
    "git status",
    "git log",
    "make",
    "docker ps",
    "journalctl",
    "cd",
    "vim",
    "kubectl get pods",
    "systemctl status",
    "python3",
    "du -sh",
    "find . -name",
    "top -b -n1",
    "uname -a",
    "free -m",
    "echo",
)
SCREEN_BYTES = 24 * 80


async def serve(service: Service) -> None:
    """Listen with a shell behind every login, and with SFTP and SCP.

    A farm of servers with different versions and algorithms stands behind each port, so that
    the server's handshake does not tell one service from another.
    """
    import asyncssh
    from common_sftp import Files
    from common_ssh import FARM, Accounts, server_options

    kinds = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
    keys = [asyncssh.generate_private_key(kind) for kind in kinds]
    for port in service.ports:
        for _ in range(FARM):
            await asyncssh.listen(
                service.address,
                port,
                server_factory=Accounts,
                process_factory=_shell,
                errors="replace",
                sftp_factory=Files,
                allow_scp=True,
                backlog=256,
                reuse_port=True,
                **server_options(service.rng, keys),
            )


async def _shell(process: Any) -> None:
    """One channel: a command, or a terminal with a prompt."""
    import asyncssh
    from common_ssh import connection_ends

    rng = random.Random(random.getrandbits(64))
    who = connection_ends(process)
    emit("shell", command=(process.command or "")[:60], terminal=process.term_type, **who)
    try:
        if process.command:
            await _run(process, process.command, rng)
        else:
            await _terminal(process, rng)
        process.exit(0)
    except (asyncssh.Error, OSError, EOFError):  # the client has gone
        process.close()


async def _terminal(process: Any, rng: random.Random) -> None:
    import asyncssh

    prompt = f"{word(rng)}@{word(rng)}:~{rng.choice('$#%>')} "
    if rng.random() < 0.6:
        process.stdout.write(text(rng, heavy(rng, 400, 0.7, 40, 3_000)))
    while True:
        process.stdout.write(prompt)
        try:
            line = await process.stdin.readline()
        except asyncssh.TerminalSizeChanged:
            continue
        except asyncssh.BreakReceived:
            process.stdout.write("^C\n")
            continue
        if not line or line.strip() == "exit":
            return
        await _run(process, line.strip(), rng)


async def _run(process: Any, line: str, rng: random.Random) -> None:
    """Answer a command as its kind does: at once, after a while, bit by bit, by screens."""
    name = line.split(" ", maxsplit=1)[0]
    if name in ("less", "vim"):
        await _full_screen(process, rng, echo=name == "vim")
    elif name in ("tail-f", "watch"):
        await _feed(process, rng, whole_screens=name == "watch")
    elif name not in ("cd", "true", ""):
        await asyncio.sleep(min(rng.lognormvariate(-4, 1.4), 2.0))
        size = heavy(rng, 500, 1.3, 1, 60_000)
        while size > 0:
            part = text(rng, min(size, rng.randint(200, 8_000)))
            process.stdout.write(part)
            await process.stdout.drain()
            size -= len(part)
            if name in ("make", "find", "journalctl"):
                await asyncio.sleep(min(rng.expovariate(20), 0.5))


async def _full_screen(process: Any, rng: random.Random, *, echo: bool) -> None:
    """An editor or pager: each key is answered with a bit of screen, or a whole one; q leaves."""
    process.channel.set_line_mode(False)
    process.channel.set_echo(False)
    process.stdout.write(text(rng, heavy(rng, SCREEN_BYTES, 0.5, 200, 8_000)))
    while (keys := await process.stdin.read(64)) and "q" not in keys:
        if echo and keys.isalnum() and rng.random() < 0.9:
            process.stdout.write(keys + text(rng, rng.choice((0, 6, 10, 40))))
        else:
            process.stdout.write(text(rng, heavy(rng, SCREEN_BYTES / 3, 0.9, 8, 8_000)))
    process.channel.set_line_mode(True)
    process.channel.set_echo(True)


async def _feed(process: Any, rng: random.Random, *, whole_screens: bool) -> None:
    """A log that is followed or a table that refreshes, until a key is hit."""
    process.channel.set_line_mode(False)
    stop = asyncio.ensure_future(process.stdin.read(1))
    period_s = rng.choice((0.5, 1.0, 2.0))
    try:
        while not stop.done():
            size = heavy(rng, 110, 0.8, 20, 4_000)
            if whole_screens:
                size = int(SCREEN_BYTES * rng.uniform(0.4, 1))
            process.stdout.write(text(rng, size))
            wait_s = period_s if whole_screens else min(rng.paretovariate(1.1) * 0.08, 5.0)
            await asyncio.wait([stop], timeout=wait_s)
        stop.result()
        process.channel.set_line_mode(True)
    finally:
        stop.cancel()


def text(rng: random.Random, size: int) -> str:
    """Some terminal output."""
    words: list[str] = []
    length = 0
    while length < size:
        words.append(word(rng, 2, 14) + rng.choice(("  ", " ", " ", "\n")))
        length += len(words[-1])
    return "".join(words)[:size]


class Typist:
    """Types at a person's speed into a terminal and reads what comes back."""

    def __init__(self, session: Session, process: Any) -> None:
        self.session, self.rng, self.process = session, session.rng, process
        self.key_s = float(session.params.get("key_s", 0.14))
        self.received = 0
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        import asyncssh

        with contextlib.suppress(asyncssh.Error, OSError):  # the connection may end first
            while data := await self.process.stdout.read(65_536):
                self.received += len(data)

    async def key(self, keys: bytes) -> bool:
        """Hit a key after the time it takes to find it."""
        if not await self.session.sleep(min(self.rng.lognormvariate(0, 0.6) * self.key_s, 3.0)):
            return False
        self.process.stdin.write(keys)
        return True

    async def line(self, line: str) -> bool:
        """Type a line with a mistake here and there; sometimes paste it."""
        if self.rng.random() < float(self.session.params.get("paste_share", 0.1)):
            return await self.key(line.encode() + b"\n")
        for letter in line:
            if self.rng.random() < 0.03 and not (await self.key(b"x") and await self.key(b"\x7f")):
                return False
            if not await self.key(letter.encode()):
                return False
        return await self.key(b"\n")

    async def leave(self) -> None:
        """Log out and see the terminal end, if it does in time."""
        self.process.stdin.write(b"exit\n")
        await asyncio.wait([self._reading], timeout=common_net.CLOSE_S)
        self._reading.cancel()


def command(rng: random.Random) -> str:
    """Something to type."""
    arguments = [word(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    if rng.random() < 0.3:
        arguments.append("/".join(["", *(word(rng) for _ in range(rng.randint(1, 5)))]))
    return " ".join([rng.choice([c for c in COMMANDS if c != "vim"]), *arguments])


async def act(session: Session) -> None:
    """Log in and work as the variant says."""
    from common_ssh import login

    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "typing"))
    async with login(session) as connection:
        if variant == "commands":
            await _commands(session, connection)
            return
        size = (session.rng.randint(60, 220), session.rng.randint(20, 70))
        process = await connection.create_process(
            term_type=session.rng.choice(("xterm", "xterm-256color", "screen", "vt100")),
            term_size=size,
            encoding=None,
        )
        typist = Typist(session, process)
        scale = float(session.params.get("think_scale", 1.0))
        for action in range(int(session.params.get("actions", 5))):
            if action and not await session.pause(scale):
                break
            if not await _one(typist, variant):
                break
            emit("line", received_bytes=typist.received)
        await typist.leave()


async def _one(typist: Typist, variant: str) -> bool:
    """One thing a person does in a terminal; False when time was over first."""
    rng = typist.rng
    if variant == "typing":
        return await typist.line(command(rng))
    if variant == "monitor":
        started = await typist.line(f"{rng.choice(('tail-f', 'watch'))} {word(rng)}")
        return started and await typist.session.pause(4.0) and await typist.key(b"q")
    if not await typist.line(f"{'less' if variant == 'pager' else 'vim'} {word(rng)}"):
        return False
    keys = b"jjjk  \x06" if variant == "pager" else b"abcdefghilmnoprstuvjjkk\r "
    for _ in range(heavy(rng, 12 if variant == "pager" else 40, 0.7, 2, 200)):
        if not await typist.key(bytes([rng.choice(keys)])):
            return False
        if variant == "pager" and not await typist.session.pause(0.4):
            return False
    return await typist.key(b"q")


async def _commands(session: Session, connection: Any) -> None:
    """Remote commands, each on a channel of its own."""
    for action in range(int(session.params.get("actions", 5))):
        if action and not await session.pause():
            return
        done = await connection.run(command(session.rng), encoding=None, check=False)
        emit("command", received_bytes=len(done.stdout or b""), status=done.exit_status)


if __name__ == "__main__":
    main(serve, act)
