"""Telnet: people at terminals, scripts and old devices, in clear text.

The server negotiates as the RFCs have it (echo, suppressed go-ahead, terminal type, window size)
and has the login and the shell of a small machine. Clients are a person's terminal of ours and the
telnet program of the system.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_telnet import (
    DO,
    DONT,
    ECHO,
    GO_AHEAD,
    IAC,
    SB,
    SE,
    TERMINAL,
    WILL,
    WINDOW,
    WONT,
    Parser,
    negotiation,
)
from common_tool import home, time_left_s, tool_environment

PASSWORD = "lab-password"  # noqa: S105 - every account of the lab has it
PROMPT = b"$ "
WAIT_S = 8.0
COMMANDS = (
    *(
        "ls -l",
        "show version",
        "show interfaces",
        "ps",
        "cat",
        "df",
        "uptime",
        "show running-config",
    ),
    *(
        "ping",
        "who",
        "netstat -an",
        "show ip route",
        "help",
        "date",
        "top -n1",
        "configure terminal",
    ),
)


async def serve(service: Service) -> None:
    """Serve terminals on every port."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Terminal(random.Random(service.rng.getrandbits(64)), reader, writer).run()

    for port in service.ports:
        await common_net.listen(service, port, handler)


class Terminal:
    """The server's side of one connection."""

    def __init__(
        self, rng: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.rng, self.reader, self.writer = rng, reader, writer
        self.parser, self.echo = Parser(), True
        self.host = word(rng)

    async def run(self) -> None:
        """Greet, ask for name and password, and answer commands."""
        self.writer.write(negotiation(WILL, ECHO, GO_AHEAD) + negotiation(DO, TERMINAL, WINDOW))
        lines = self._lines()
        self.writer.write(b"\r\n" + _text(self.rng, heavy(self.rng, 60, 0.8, 5, 900)) + b"\r\n")
        while True:
            self.writer.write(f"{self.host} login: ".encode())
            name = await anext(lines)
            self.writer.write(b"Password: ")
            self.echo = False
            word_given = await anext(lines)
            self.echo = True
            await asyncio.sleep(min(self.rng.lognormvariate(-2, 0.6), 1.5))
            emit("login", ok=word_given == PASSWORD)
            if word_given == PASSWORD:
                break
            self.writer.write(b"\r\nLogin incorrect\r\n")
        self.writer.write(f"\r\nWelcome, {name}\r\n".encode() + self._prompt())
        async for line in lines:
            if line in ("exit", "logout", "quit"):
                return
            await self._answer(line)
            self.writer.write(self._prompt())
            await self.writer.drain()

    def _prompt(self) -> bytes:
        return self.host.encode() + PROMPT

    async def _lines(self) -> AsyncIterator[str]:
        """What is typed, line by line; echoed as it comes, and negotiated about."""
        line, last = bytearray(), 0
        while data := await self.reader.read(4_096):
            typed, asked = self.parser.feed(data)
            for verb, option in asked:
                if verb == WILL and option == TERMINAL:
                    self.writer.write(bytes((IAC, SB, TERMINAL, 1, IAC, SE)))
                elif verb == WILL and option != WINDOW:
                    self.writer.write(negotiation(DONT, option))
                elif verb == DO and option not in (ECHO, GO_AHEAD):
                    self.writer.write(negotiation(WONT, option))
            for byte in typed:
                ended, last = last == 13, byte
                if byte == 13 or (byte == 10 and not ended):
                    self.writer.write(b"\r\n")
                    yield line.decode(errors="replace").strip()
                    line.clear()
                elif byte not in b"\n\0":
                    line.append(byte)
                    if self.echo:
                        self.writer.write(bytes((byte,)))
        raise EOFError("the client has left")

    async def _answer(self, line: str) -> None:
        """The output of a command: at once, later, or bit by bit."""
        emit("command", line=line[:60])
        if not line:
            return
        await asyncio.sleep(min(self.rng.lognormvariate(-4, 1.3), 1.5))
        left = heavy(self.rng, 350, 1.3, 1, 30_000)
        while left > 0:
            part = _text(self.rng, min(left, self.rng.randint(80, 4_000)))
            self.writer.write(part.replace(b"\n", b"\r\n"))
            await self.writer.drain()
            left -= len(part)
            if line.startswith(("ping", "show run")):
                await asyncio.sleep(min(self.rng.expovariate(10), 0.6))


def _text(rng: random.Random, size: int) -> bytes:
    """Lines of words."""
    words: list[str] = []
    while size > 0:
        words.append(word(rng) + rng.choice("     \n"))
        size -= len(words[-1])
    return "".join(words).encode() + b"\n"


async def act(session: Session) -> None:
    """Work as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    if session.params.get("variant") == "program":
        await _program(session)
        return
    reader, writer = await common_net.connect(session, session.port)
    person = Person(session, reader, writer)
    try:
        await person.login()
        async for _ in session.paced_actions():
            await person.line(command(session.rng))
            await person.expect(PROMPT)
        writer.write(b"exit\r\n")
    except TimeoutError as error:
        raise PeerError("the server does not answer") from error
    finally:
        emit("typed", received_bytes=person.received)
        await common_net.disconnect(writer, session.rng)


def command(rng: random.Random) -> str:
    """What somebody types next."""
    return f"{rng.choice(COMMANDS)} {word(rng)}" if rng.random() < 0.5 else rng.choice(COMMANDS)


class Person:
    """The client's side: types key by key, line by line, or pastes."""

    def __init__(
        self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.session, self.rng = session, session.rng
        self.reader, self.writer, self.parser = reader, writer, Parser()
        self.variant = str(session.params.get("variant", "typing"))
        self.key_s = float(session.params.get("key_s", 0.12))
        self.received, self._seen = 0, b""

    async def login(self) -> None:
        """Give a name and the password, now and then a wrong one first."""
        wrong = int(self.session.params.get("wrong_passwords", 0))
        for attempt in range(wrong + 1):
            await self.expect(b"login: ")
            await self.line(word(self.rng))
            await self.expect(b"Password: ")
            await self.line(PASSWORD if attempt == wrong else word(self.rng))
        await self.expect(PROMPT)

    async def line(self, text: str) -> None:
        """Send a line, as fast as this person or program is."""
        if self.variant != "typing":
            self.writer.write(text.encode() + b"\r\n")
            return
        for letter in text:
            self.writer.write(letter.encode())
            await asyncio.sleep(min(self.rng.lognormvariate(0, 0.5) * self.key_s, 1.5))
            if self.rng.random() < 0.03:
                await asyncio.sleep(min(self.rng.expovariate(2), 2.0))
        self.writer.write(b"\r\0")

    async def expect(self, end: bytes) -> None:
        """Read until the server waits with these words."""
        async with asyncio.timeout(WAIT_S):
            while end not in self._seen:
                data = await self.reader.read(65_536)
                if not data:
                    raise EOFError("the server closed the connection")
                self.received += len(data)
                text, asked = self.parser.feed(data)
                self._seen += text
                self._negotiate(asked)
        self._seen = b""

    def _negotiate(self, asked: list[tuple[int, int]]) -> None:
        for verb, option in asked:
            if verb == WILL:
                self.writer.write(negotiation(DO, option))
            elif verb == DO and option == WINDOW and self.variant != "script":
                size = bytes((0, self.rng.randint(60, 220), 0, self.rng.randint(20, 70)))
                self.writer.write(negotiation(WILL, WINDOW))
                self.writer.write(bytes((IAC, SB, WINDOW)) + size + bytes((IAC, SE)))
            elif verb == DO:
                self.writer.write(negotiation(WONT, option))


async def _program(session: Session) -> None:
    """The system's telnet, fed by a script that waits between its lines."""
    with home() as folder:
        process = await asyncio.create_subprocess_exec(
            *("telnet", "-E", session.peer["address"], str(session.port)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=tool_environment(folder),
        )
        if process.stdin is None or process.stdout is None:
            raise PeerError("telnet has no pipes")
        try:
            for line in (word(session.rng), PASSWORD):
                if not await session.sleep(0.5 + session.rng.expovariate(5)):
                    return
                process.stdin.write(line.encode() + b"\n")
            async for _ in session.paced_actions():
                process.stdin.write(command(session.rng).encode() + b"\n")
                await process.stdin.drain()
            process.stdin.write(b"exit\n")
            async with asyncio.timeout(time_left_s(session)):
                said = await process.stdout.read()
            emit("program", received_bytes=len(said))
        except TimeoutError:
            emit("program", ended=False)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


if __name__ == "__main__":
    main(serve, act)
