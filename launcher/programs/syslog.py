"""Log messages sent to a collector: UDP, TCP and TLS, old and new format, by tool and library.

The collector is rsyslog, which forgets what it gets: TLS is on the second port, both others on the
first.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import logging.handlers
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import common_net
from common import Service, Session, emit, heavy, main, word
from common_daemon import start_daemon, workspace
from common_pem import server_name, write_authority, write_server
from common_tool import home, run_tool

MAX_BURST = 300
TAGS = ("sshd", "kernel", "systemd", "nginx", "cron", "postfix/smtpd", "app", "sudo", "dhcpd")
CONFIG = """global(workDirectory="{folder}" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{files.authority}"
  defaultNetstreamDriverCertFile="{files.certificate}"
  defaultNetstreamDriverKeyFile="{files.key}")
module(load="imudp")
module(load="imtcp")
input(type="imudp" address="{address}" port="{plain}" ruleset="lab")
input(type="imtcp" address="{address}" port="{plain}" ruleset="lab" streamDriver.mode="0")
{secure}
ruleset(name="lab") {{ action(type="omfile" file="/dev/null") }}
"""
SECURE = """input(type="imtcp" address="{address}" port="{port}" ruleset="lab"
  streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")"""


async def serve(service: Service) -> None:
    """Run rsyslog as a collector."""
    folder = workspace(service)
    files = write_server(service.rng, service.host, service.address, folder)
    secure = [SECURE.format(address=service.address, port=port) for port in service.ports[1:]]
    config = folder / "rsyslog.conf"
    config.write_text(
        CONFIG.format(
            folder=folder,
            files=files,
            address=service.address,
            plain=service.ports[0],
            secure="\n".join(secure),
        ),
        encoding="ascii",
    )
    await start_daemon(
        service,
        ["rsyslogd", "-n", "-f", str(config), "-i", str(folder / "pid")],
        folder=folder,
        tcp=service.ports,
        udp=service.ports[:1],
    )


def message(rng: random.Random) -> str:
    """What a program has to say."""
    words = [word(rng) for _ in range(heavy(rng, 9, 0.7, 1, 120))]
    words += [
        f"{word(rng)}={rng.getrandbits(rng.choice((8, 16, 32)))}" for _ in range(rng.randrange(5))
    ]
    return " ".join(words)[:1_800]


def line(rng: random.Random, host: str) -> str:
    """A whole message in the new format (RFC 5424), or in the old one (RFC 3164)."""
    priority, tag = rng.randrange(24) * 8 + rng.randrange(3, 8), rng.choice(TAGS)
    now = datetime.datetime.now(datetime.UTC)
    if rng.random() < 0.5:
        head = f"<{priority}>{now:%b %e %H:%M:%S} {host} {tag}[{rng.randrange(30_000)}]:"
        return f"{head} {message(rng)}"
    structured = f'[{word(rng)}@32473 {word(rng)}="{word(rng)}"]' if rng.random() < 0.4 else "-"
    stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f"<{priority}>1 {stamp} {host} {tag} {rng.randrange(30_000)} - {structured} {message(rng)}"
    )


def act(session: Session) -> None:
    """Log as the variant says."""
    variant = str(session.params.get("variant", "datagrams"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    with home() as folder:
        if variant == "tool":
            _tool(session, folder)
        elif variant == "library":
            _library(session)
        elif variant == "datagrams":
            _datagrams(session)
        else:
            _stream(session, folder, secure=variant == "tls")


def _bursts(session: Session) -> Iterator[int]:
    """How many messages come at once, again and again."""
    for _ in session.actions():
        count = heavy(session.rng, float(session.params.get("burst", 2)), 1.0, 1, MAX_BURST)
        yield count
        emit("logged", messages=count)


def _datagrams(session: Session) -> None:
    """A machine that forwards what it logs."""
    rng = session.rng
    host = word(rng)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((session.peer["address"], session.port))
        for count in _bursts(session):
            for _ in range(count):
                sock.send(line(rng, host).encode())


def _stream(session: Session, folder: Path, *, secure: bool) -> None:
    """The same over one connection, each message ended by a line feed or begun by its length."""
    rng, host = session.rng, word(session.rng)
    counted = rng.random() < 0.5
    ports = session.peer["ports"]
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(common_net.dial(session, ports[-1 if secure else 0]))
        if secure:
            context = ssl.create_default_context(cafile=str(write_authority(folder)))
            name = server_name(session.peer["host"])
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname=name))
        for count in _bursts(session):
            texts = [line(rng, host).encode() for _ in range(count)]
            sock.sendall(b"".join(b"%d %b" % (len(t), t) if counted else t + b"\n" for t in texts))


def _library(session: Session) -> None:
    """An application with Python's own logging, over UDP or TCP."""
    rng, place = session.rng, (session.peer["address"], session.port)
    kind = rng.choice((socket.SOCK_DGRAM, socket.SOCK_STREAM))
    handler = logging.handlers.SysLogHandler(place, rng.randrange(1, 24), kind)
    handler.append_nul = kind == socket.SOCK_DGRAM and rng.random() < 0.5
    if kind == socket.SOCK_STREAM:
        handler.append_nul = False
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s\n"))
    logger = logging.Logger(word(rng))  # noqa: LOG001 - of this session alone
    logger.addHandler(handler)
    try:
        for count in _bursts(session):
            for _ in range(count):
                logger.log(rng.choice((10, 20, 20, 30, 40)), message(rng))
    finally:
        handler.close()


def _tool(session: Session, folder: Path) -> None:
    """logger(1) in a script, once a message or with a whole file."""
    rng, file = session.rng, folder / "lines"
    for count in _bursts(session):
        file.write_text("".join(f"{message(rng)}\n" for _ in range(count)), encoding="ascii")
        command = ["logger", "-n", session.peer["address"], "-P", str(session.port)]
        command += [rng.choice(("-d", "-T")), "-t", rng.choice(TAGS), "-f", str(file)]
        command += [rng.choice(("--rfc3164", "--rfc5424", "--rfc5424=notq"))]
        run_tool(session, command, folder)


if __name__ == "__main__":
    main(serve, act)
