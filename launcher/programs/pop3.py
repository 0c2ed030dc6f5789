"""Fetching mail by POP3: plain, STARTTLS and TLS, by library, mpop and fetchmail.

The server is Dovecot. It wants an ordinary user, so ``proot`` shows it one as itself and as the
owner of its files; the kernel still sees the lab's user and group.
"""

from __future__ import annotations

import contextlib
import poplib
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_daemon import start_daemon, workspace
from common_pem import server_name, write_authority, write_server
from common_tool import home, run_tool

AS_NOBODY = ("proot", "-i", "65534:65534")
PASSWORD = "lab-password"  # noqa: S105 - every account of the lab has it
USERS = 30
WAIT_S = 10.0
MAX_MESSAGE_BYTES = 250_000
CONFIG = """
protocols = pop3
listen = {address}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
ssl = yes
ssl_cert = <{files.certificate}
ssl_key = <{files.key}
disable_plaintext_auth = no
auth_mechanisms = plain login
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
first_valid_uid = 1
mail_location = maildir:~/Maildir
login_greeting = {greeting}
pop3_no_flag_updates = yes
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={folder}/mail/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service pop3-login {{
  chroot =
  service_count = {per_process}
  inet_listener pop3 {{
    port = {plain}
  }}
  inet_listener pop3s {{
    port = {secure}
    ssl = yes
  }}
}}
"""


async def serve(service: Service) -> None:
    """Fill mailboxes and run Dovecot on them."""
    folder, rng = workspace(service), service.rng
    files = write_server(rng, service.host, service.address, folder)
    for number in range(USERS):
        _fill(rng, folder / "mail" / f"user{number}" / "Maildir")
    config = folder / "dovecot.conf"
    config.write_text(
        CONFIG.format(
            address=service.address,
            folder=folder,
            files=files,
            greeting=f"{word(rng).title()} ready.",
            password=PASSWORD,
            per_process=rng.choice((0, 1)),
            plain=service.ports[0],
            secure=service.ports[-1] if len(service.ports) > 1 else 0,
        ),
        encoding="utf-8",
    )
    command = [*AS_NOBODY, "dovecot", "-F", "-c", str(config)]
    await start_daemon(service, command, folder=folder, tcp=service.ports)


def _fill(rng: random.Random, folder: Path) -> None:
    """A mailbox with some messages of all sizes."""
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    for number in range(heavy(rng, 10, 0.8, 1, 60)):
        name = f"{1_700_000_000 + number}.M{rng.randrange(10**6)}P{number}.lab"
        (folder / "new" / name).write_text(_message(rng), encoding="utf-8")


def _message(rng: random.Random) -> str:
    lines = [
        f"From: {word(rng)}@{word(rng)}.lab",
        f"To: {word(rng)}@lab",
        f"Subject: {' '.join(word(rng) for _ in range(rng.randint(1, 8)))}",
        f"Message-ID: <{rng.getrandbits(64):x}@{word(rng)}.lab>",
        *(f"X-{word(rng).title()}: {rng.getrandbits(96):x}" for _ in range(rng.randrange(12))),
        "",
    ]
    left = heavy(rng, 2_500, 1.2, 50, MAX_MESSAGE_BYTES)
    while left > 0:
        lines.append(rng.randbytes(min(36, left)).hex())
        left -= 73
    return "\r\n".join(lines) + "\r\n"


def act(session: Session) -> None:
    """Fetch mail as the variant says."""
    variant = str(session.params.get("variant", "fetch"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    try:
        with home() as folder:
            if variant in ("mpop", "fetchmail"):
                for _ in session.actions():
                    (_mpop if variant == "mpop" else _fetchmail)(session, folder)
                return
            for _ in session.actions():
                with _mailbox(session, folder, variant) as box:
                    (_check if variant == "check" else _fetch)(session, box)
    except poplib.error_proto as error:
        raise PeerError(f"POP3: {error}") from error


@contextlib.contextmanager
def _mailbox(session: Session, folder: Path, variant: str) -> Iterator[poplib.POP3]:
    rng = session.rng
    context = ssl.create_default_context(cafile=str(write_authority(folder)))
    name = server_name(session.peer["host"])
    implicit = variant == "fetch-tls"

    class Box(poplib.POP3):
        def _create_socket(self, _timeout: float) -> socket.socket:
            sock = common_net.dial(session, session.peer["ports"][-1 if implicit else 0], WAIT_S)
            return context.wrap_socket(sock, server_hostname=name) if implicit else sock

    box = Box(name)
    try:
        if rng.random() < 0.5:
            box.capa()
        if variant == "fetch-starttls":
            box.stls(context)
        box.user(f"user{rng.randrange(USERS)}")
        wrong = rng.random() < float(session.params.get("wrong_password_share", 0))
        if wrong:
            with contextlib.suppress(poplib.error_proto):
                box.pass_("wrong-password")
            emit("login", ok=False)
            box.user(f"user{rng.randrange(USERS)}")
        box.pass_(PASSWORD)
        emit("login", ok=True)
        yield box
        box.quit()
    finally:
        box.close()


def _check(session: Session, box: poplib.POP3) -> None:
    """Look whether there is something new, and at most at its beginning."""
    count, size = box.stat()
    if session.rng.random() < 0.5:
        box.uidl()
    if count and session.rng.random() < 0.4:
        box.top(session.rng.randint(1, count), session.rng.choice((0, 10, 40)))
    emit("checked", messages=count, bytes=size)


def _fetch(session: Session, box: poplib.POP3) -> None:
    """Fetch some messages; some programs leave them on the server."""
    rng = session.rng
    numbers = [int(line.split()[0]) for line in box.list()[1]]
    box.uidl()
    for number in numbers[: heavy(rng, 5, 0.9, 1, 60)]:
        _, _, size = box.retr(number)
        emit("message", bytes=size)
        if rng.random() < float(session.params.get("delete_share", 0)):
            box.dele(number)


def _mpop(session: Session, folder: Path) -> None:
    rng, ports = session.rng, session.peer["ports"]
    tls = rng.choice(("off", "starttls", "on"))
    mail = folder / "mail"
    for part in ("cur", "new", "tmp"):
        (mail / part).mkdir(parents=True, exist_ok=True)
    command = ["mpop", f"--host={session.peer['address']}", f"--delivery=maildir,{mail}"]
    command += [
        f"--port={ports[-1] if tls == 'on' else ports[0]}",
        f"--user=user{rng.randrange(USERS)}",
    ]
    command += [
        "--auth=user",
        f"--passwordeval=echo {PASSWORD}",
        f"--keep={rng.choice(('on', 'off'))}",
    ]
    command += [f"--tls={'off' if tls == 'off' else 'on'}", f"--uidls-file={folder}/uidls"]
    if tls != "off":
        command += [f"--tls-starttls={'on' if tls == 'starttls' else 'off'}"]
        command += [f"--tls-trust-file={write_authority(folder)}"]
    run_tool(session, command, folder)


def _fetchmail(session: Session, folder: Path) -> None:
    rng, ports = session.rng, session.peer["ports"]
    secure, name = rng.random() < 0.5, server_name(session.peer["host"])
    words = [
        f"poll {session.peer['address']} protocol POP3 port {ports[-1] if secure else ports[0]}"
    ]
    words += [
        f"user user{rng.randrange(USERS)} password {PASSWORD}",
        rng.choice(("keep", "nokeep")),
    ]
    words += [f"fetchlimit {rng.randint(1, 20)}", f'mda "cat >> {folder}/inbox"']
    words += [
        f"ssl sslcertck sslcertfile {write_authority(folder)} sslcommonname {name}"
        if secure
        else 'sslproto ""'
    ]
    file = folder / "fetchmailrc"
    file.touch(mode=0o600)
    file.write_text(" ".join(words) + "\n", encoding="ascii")
    command = ["fetchmail", "--nodetach", "--nosyslog", "-f", str(file)]
    command += ["--idfile", str(folder / "ids"), "--pidfile", str(folder / "pid")]
    run_tool(session, command, folder, fine=(0, 1, 13))  # 1: no mail, 13: the limit


if __name__ == "__main__":
    main(serve, act)
