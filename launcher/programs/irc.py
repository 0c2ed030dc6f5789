"""Internet Relay Chat: people, lurkers, private talks and bots, plain and with TLS.

The server is ngIRCd.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_daemon import start_daemon, workspace
from common_pem import server_name, write_authority, write_server
from common_tool import home

WAIT_S = 8.0
LINE_BYTES = 400
CLIENTS = ("HexChat 2.16.1", "irssi v1.4.3", "WeeChat 3.8", "mIRC v7.72", "eggdrop v1.9.4")
CONFIG = """[Global]
Name = irc.{host}.lab
Info = {info}
Listen = {address}
Ports = {plain}
MotdFile = {folder}/motd
ServerUID = 0
ServerGID = {group}
HelpFile = {folder}/motd
[Limits]
MaxConnectionsIP = 0
MaxPenaltyTime = 0
PingTimeout = {ping}
MaxJoins = 0
[Options]
DNS = no
Ident = no
PAM = no
RequireAuthPing = {auth_ping}
SyslogFacility = local0
[SSL]
CertFile = {files.certificate}
KeyFile = {files.key}
Ports = {secure}
"""


async def serve(service: Service) -> None:
    """Run ngIRCd with a message of the day."""
    import os

    folder, rng = workspace(service), service.rng
    files = write_server(rng, service.host, service.address, folder)
    lines = [
        " ".join(word(rng) for _ in range(rng.randint(1, 9))) for _ in range(rng.randint(2, 60))
    ]
    (folder / "motd").write_text("\n".join(lines) + "\n", encoding="ascii")
    config = folder / "ngircd.conf"
    config.write_text(
        CONFIG.format(
            host=service.host,
            info=word(rng),
            address=service.address,
            plain=service.ports[0],
            secure=",".join(map(str, service.ports[1:])),
            folder=folder,
            group=os.getegid(),
            ping=rng.choice((5, 20, 120)),
            auth_ping=rng.choice(("yes", "no")),
            files=files,
        ),
        encoding="ascii",
    )
    command = ["ngircd", "--nodaemon", "--config", str(config)]
    await start_daemon(service, command, folder=folder, tcp=service.ports)


class Chatter:
    """One connection: lines out, lines in, pings answered."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng = session, session.rng
        self.nick = f"{word(session.rng, 3, 5)}{session.rng.randrange(1_000)}"
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    async def open(self, folder: Path, *, secure: bool) -> None:
        """Connect and register."""
        context = None
        if secure:
            context = ssl.create_default_context(cafile=str(write_authority(folder)))
        self.reader, self.writer = await common_net.connect(
            self.session,
            self.session.peer["ports"][-1 if secure else 0],
            tls=context,
            name=server_name(self.session.peer["host"]) if secure else None,
        )
        self._listening = asyncio.create_task(self._listen())
        if self.rng.random() < 0.6:
            self.send("CAP LS 302", "CAP END")
        self.send(f"NICK {self.nick}", f"USER {word(self.rng)} 0 * :{word(self.rng).title()}")
        await self.expect(lambda line: " 376 " in line or " 422 " in line)
        emit("registered", nick=self.nick, tls=secure)

    async def _listen(self) -> None:
        while line := (await self.reader.readline()).decode(errors="replace").rstrip():
            if line.startswith("PING"):
                self.send(f"PONG {line[5:]}")
            else:
                self.lines.put_nowait(line)
                if "\x01VERSION\x01" in line:
                    to = line[1:].partition("!")[0]
                    self.send(f"NOTICE {to} :\x01VERSION {self.rng.choice(CLIENTS)}\x01")

    def send(self, *lines: str) -> None:
        """Send lines in one go."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def expect(self, wanted: Callable[[str], bool]) -> str:
        """Wait for a line; `PeerError` when it does not come or the server hangs up."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not wanted(line := await self.lines.get()):
                    if line.startswith("ERROR"):
                        raise PeerError(line[:100])
        except TimeoutError as error:
            raise PeerError("the server does not answer") from error
        return line

    async def join(self, channel: str) -> None:
        """Enter a channel."""
        self.send(f"JOIN {channel}")
        await self.expect(lambda line: " 366 " in line)

    def say(self, to: str) -> str:
        """Say something in a channel or to somebody; its last word."""
        count = heavy(self.rng, 6, 0.9, 1, 60)
        text = " ".join(word(self.rng) for _ in range(count))[:LINE_BYTES]
        self.send(f"PRIVMSG {to} :{text}")
        emit("said", to=to, bytes=len(text))
        return text.rpartition(" ")[2]

    async def close(self) -> None:
        """Leave, with a word."""
        with contextlib.suppress(OSError):
            self.send(f"QUIT :{word(self.rng)}")
            await self.writer.drain()
        self._listening.cancel()
        await common_net.disconnect(self.writer, self.rng)


async def act(session: Session) -> None:
    """Chat as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "chat"))
    people = 2 if variant in ("chat", "chat-tls", "private") else 1
    with home() as folder:
        chatters = [Chatter(session) for _ in range(people)]
        opened = []
        try:
            for chatter in chatters:
                await chatter.open(folder, secure=variant.endswith("tls"))
                opened.append(chatter)
            if people == 2:
                await _talk(session, *chatters, private=variant == "private")
            elif variant == "bot":
                await _bot(session, chatters[0])
            else:
                await _lurk(session, chatters[0])
        finally:
            for chatter in opened:
                await chatter.close()


async def _talk(session: Session, one: Chatter, other: Chatter, *, private: bool) -> None:
    """Two people write, in a channel or to each other."""
    rng, channel = session.rng, f"#{word(session.rng)}"
    if not private:
        await one.join(channel)
        await other.join(channel)
    async for _ in session.paced_actions():
        speaker, listener = (one, other) if rng.random() < 0.6 else (other, one)
        last = ""
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            last = speaker.say(listener.nick if private else channel)
        await listener.expect(_spoken(last))
        if rng.random() < 0.1:
            listener.send(rng.choice((f"WHOIS {speaker.nick}", "LIST", f"NAMES {channel}")))


def _spoken(last: str) -> Callable[[str], bool]:
    """Whether a line is something that was said, with this last word."""
    return lambda line: "PRIVMSG" in line and line.endswith(last)


async def _lurk(session: Session, chatter: Chatter) -> None:
    """Somebody who looks around in channels and says nothing."""
    rng = session.rng
    async for _ in session.paced_actions():
        channel = f"#{word(rng)}"
        await chatter.join(channel)
        for what in rng.sample((f"TOPIC {channel}", f"WHO {channel}", "LIST", "LUSERS", "MOTD"), 2):
            chatter.send(what)
        if rng.random() < 0.5 and await session.pause():
            chatter.send(f"PART {channel}")
        emit("looked", channel=channel)


async def _bot(session: Session, bot: Chatter) -> None:
    """A program that announces things in volleys and keeps its channel's topic."""
    rng, channel = session.rng, f"#{word(session.rng)}"
    await bot.join(channel)
    async for _ in session.paced_actions():
        for _ in range(heavy(rng, 3, 0.8, 1, 25)):
            bot.say(channel)
            await asyncio.sleep(rng.uniform(0.0, 0.1))
        if rng.random() < 0.3:
            bot.send(f"TOPIC {channel} :{word(rng)} {word(rng)}")
        bot.send(f"PING {rng.getrandbits(32)}")
        await bot.expect(lambda line: " PONG " in line)


if __name__ == "__main__":
    main(serve, act)
