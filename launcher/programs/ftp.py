"""FTP: pyftpdlib, and ftplib, lftp and curl, which list, fetch and bring, active and passive."""

from __future__ import annotations

import contextlib
import ftplib
import logging
import time
from pathlib import Path
from typing import Any

from common import PeerError, Service, Session, emit, heavy, main, noise, word
from common_log import connection_for
from common_tool import home, run_tool, time_left_s

USERS = ("anonymous", "ftp")
BLOCK = 32_768


async def serve(service: Service) -> None:
    """Serve a tree of files and a folder for uploads.

    The library's server keeps every user below one folder; vsftpd does so only by ``chroot`` and
    as another user, which a lab's host may not and whose flows nobody would own.
    """
    import threading

    from common_daemon import workspace
    from common_tree import plant
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.servers import FTPServer

    folder, rng = workspace(service), service.rng
    files = folder / "files"
    plant(rng, files, files=rng.randint(40, 120), median_bytes=60_000, budget_bytes=16 << 20)
    (files / "incoming").mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(files), perm="elradfmwMT")
    authorizer.add_user("ftp", "", str(files), perm="elradfmwMT")
    authorizer.validate_authentication = lambda *_: None
    handler = _handler(service)
    handler.authorizer = authorizer
    logging.disable(logging.WARNING)
    for port in service.ports:
        server = FTPServer((service.address, port), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def _handler(service: Service) -> Any:
    """What answers a connection: the library's, with one server's habits, and events."""
    from pyftpdlib.handlers import DTPHandler, FTPHandler, ThrottledDTPHandler

    rng = service.rng
    first = rng.randrange(30_000, 50_000)
    rate = rng.choice((0, 0, 0, 2_000_000, 8_000_000))

    class Channel(ThrottledDTPHandler if rate else DTPHandler):  # type: ignore[misc]
        read_limit = write_limit = rate

        def __init__(self, sock: Any, cmd_channel: Any) -> None:
            super().__init__(sock, cmd_channel)
            with contextlib.suppress(OSError):  # either may be gone already
                asked = cmd_channel.socket.getpeername(), cmd_channel.socket.getsockname()
                ends = sock.getsockname(), sock.getpeername()
                connection_for(asked, "tcp", *ends, began_ns=cmd_channel.asked_ns)

    class Handler(FTPHandler):  # type: ignore[misc]  # published without types
        banner = " ".join(word(rng) for _ in range(rng.randint(1, 6)))
        passive_ports = range(first, first + 999)
        dtp_handler = Channel
        use_sendfile = False
        permit_foreign_addresses = False
        asked_ns = 0

        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            if cmd in ("PORT", "EPRT", "PASV", "EPSV"):
                self.asked_ns = time.time_ns()
            super().pre_process_command(line, cmd, arg)

        def on_file_sent(self, file: str) -> None:
            emit("sent", bytes=Path(file).stat().st_size)

        def on_file_received(self, file: str) -> None:
            emit("received", bytes=Path(file).stat().st_size)

    return Handler


class User:
    """What one user knows of the server, and wants."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.folder = folder
        self.place = f"{session.peer['address']}:{session.port}"
        self.actions = int(self.params.get("actions", 3))
        self.left = int(self.params.get("budget_kb", 4_000)) << 10
        self.name = self.rng.choice(USERS)
        self.password = f"{word(self.rng)}@{word(self.rng)}.lab"

    def new_file(self) -> Path:
        """A file to bring to the server."""
        median = float(self.params.get("file_bytes", 80_000))
        size = heavy(self.rng, median, 1.2, 10, max(min(self.left, 3 << 20), 11))
        path = self.folder / f"{word(self.rng)}-{self.rng.getrandbits(20):x}.bin"
        path.write_bytes(b"".join(noise(size)))
        self.left -= size
        return path


def act(session: Session) -> None:
    """Move files with the tool of the variant."""
    variant = str(session.params["variant"])
    with home() as folder:
        user = User(session, folder)
        if variant in ("mirror-lftp", "upload-lftp"):
            _lftp(user, upload=variant == "upload-lftp")
        elif variant == "fetch-curl":
            _curl(user)
        else:
            try:
                _ftplib(user, variant)
            except ftplib.Error as error:
                raise PeerError(repr(error)) from error


def _ftplib(user: User, variant: str) -> None:
    """A script: log in, look around, fetch or bring file after file."""
    with ftplib.FTP(timeout=10) as link:  # noqa: S321 - FTP is the point
        link.connect(user.session.peer["address"], user.session.port)
        link.login(user.name, user.password)
        link.set_pasv(variant != "active-ftplib")
        bring = variant == "put-ftplib"
        if bring:
            link.cwd("incoming")
        for action in range(user.actions):
            if (action and not user.session.rest()) or user.left <= 0:
                break
            if bring:
                _put(user, link)
            else:
                _look_and_get(user, link)
        link.quit()


def _put(user: User, link: ftplib.FTP) -> None:
    path = user.new_file()
    with path.open("rb") as stream:
        link.storbinary(f"STOR {path.name}", stream, BLOCK)
    emit("file", bytes=path.stat().st_size, upload=True)
    chance = user.rng.random()
    if chance < 0.2:
        link.rename(path.name, f"{word(user.rng)}-{user.rng.getrandbits(20):x}")
    elif chance < 0.4:
        link.delete(path.name)
    path.unlink()


def _look_and_get(user: User, link: ftplib.FTP) -> None:
    """Go into a folder, list it, and fetch one of its files."""
    lines: list[str] = []
    link.retrlines("LIST", lines.append)
    emit("list", entries=len(lines))
    folders = [line.split()[-1] for line in lines if line.startswith("d")]
    files = [line.split() for line in lines if line.startswith("-")]
    if files:
        name = user.rng.choice(files)[-1]
        sizes: list[int] = []
        link.retrbinary(f"RETR {name}", lambda block: sizes.append(len(block)), BLOCK)
        user.left -= sum(sizes)
        emit("file", bytes=sum(sizes), upload=False)
    if folders and user.rng.random() < 0.7:
        link.cwd(user.rng.choice(folders))
    else:
        link.cwd("/")


def _lftp(user: User, *, upload: bool) -> None:
    """Mirror folders to or from the server with lftp, several connections at once."""
    rng = user.rng
    settings = {
        "ftp:ssl-allow": "no",
        "ftp:passive-mode": rng.choice(("on", "on", "on", "off")),
        "ftp:prefer-epsv": rng.choice(("on", "off")),
        "ftp:use-mdtm": rng.choice(("on", "off")),
        "ftp:sync-mode": rng.choice(("on", "off")),
        "net:max-retries": 1,
        "net:timeout": 5,
        "net:limit-total-rate": int(user.params.get("rate_bytes_s", 0)),
        "mirror:parallel-transfer-count": int(user.params.get("parallel", 2)),
        "cmd:fail-exit": "yes",
    }
    start = [f"set {name} {value}" for name, value in settings.items()]
    start.append(f"open -u {user.name},{user.password} ftp://{user.place}")
    for action in range(user.actions if upload else min(user.actions, 2)):
        if action and not user.session.rest():
            return
        if upload:
            source = user.folder / f"up-{action}"
            source.mkdir()
            for _ in range(rng.randint(1, 6)):
                path = user.new_file()
                path.rename(source / path.name)
            what = f"mirror -R {source} /incoming/{word(rng)}-{rng.getrandbits(30):x}"
        else:
            kinds = " ".join(f"-I '*.{kind}'" for kind in rng.sample(_KINDS, rng.randint(1, 3)))
            what = f"mirror {kinds} / {user.folder}/down-{action}"
        ran = run_tool(
            user.session, ["lftp", "-c", "; ".join([*start, what, "bye"])], user.folder, fine=(0, 1)
        )
        moved = sum(p.stat().st_size for p in user.folder.rglob("*-*/**/*") if p.is_file())
        emit("mirror", bytes=moved, upload=upload, late=ran.late)


_KINDS = ("pdf", "txt", "jpg", "csv", "md", "log", "tgz")


def _curl(user: User) -> None:
    """Names first, then some of the files, in one curl a time."""
    common = ["curl", "-sS", "--noproxy", "*", "-m", f"{time_left_s(user.session):.1f}"]
    common += ["-u", f"{user.name}:{user.password}"]
    if user.rng.random() < 0.4:
        common.append("--disable-epsv")
    place = f"ftp://{user.place}/"
    for action in range(user.actions):
        if (action and not user.session.rest()) or user.left <= 0:
            return
        listed = run_tool(user.session, [*common, place], user.folder, fine=(0, 28))
        files, folders = _entries(listed.output)
        emit("list", entries=len(files) + len(folders))
        wanted = user.rng.sample(files, min(len(files), user.rng.randint(1, 3)))
        parts = [part for name in wanted for part in (place + name, "-o", "/dev/null")]
        if parts:
            end = ["-w", "%{size_download}\n"]
            ran = run_tool(user.session, [*common, *end, *parts], user.folder, fine=(0, 28))
            sizes = [int(line) for line in ran.output.split() if line.isdigit()]
            user.left -= sum(sizes)
            emit("file", bytes=sum(sizes), files=len(sizes), upload=False)
        place = f"{place}{user.rng.choice(folders)}/" if folders else f"ftp://{user.place}/"


def _entries(listing: str) -> tuple[list[str], list[str]]:
    """Files and folders of a listing."""
    lines = [line.split() for line in listing.splitlines() if len(line.split()) == 9]
    files = [parts[-1] for parts in lines if parts[0].startswith("-")]
    return files, [parts[-1] for parts in lines if parts[0].startswith("d")]


if __name__ == "__main__":
    main(serve, act)
