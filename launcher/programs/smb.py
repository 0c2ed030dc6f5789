"""SMB: shares of impacket's server, used by smbclient and scripts: listing, reading, writing.

Samba's own server changes users and groups for each client, which a lab's host may not.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_tool import Ran, home, run_tool

SHARES = ("docs", "media", "home")
PATIENCE_S = 8


async def serve(service: Service) -> None:
    """Serve shares; whoever logs in is welcome."""
    import threading

    from common_daemon import workspace
    from common_tree import plant
    from impacket.smbserver import SimpleSMBServer

    folder, rng = workspace(service), service.rng
    logging.disable(logging.CRITICAL)
    for port in service.ports:
        server = SimpleSMBServer(listenAddress=service.address, listenPort=port)
        server.setSMB2Support(True)
        server.setLogFile("/dev/null")
        for name in SHARES:
            place = folder / name
            median = heavy(rng, 300_000 if name == "media" else 30_000, 0.4, 5_000, 500_000)
            count = rng.randint(20, 40)
            if not place.exists():
                plant(rng, place, files=count, median_bytes=median, budget_bytes=10 << 20)
                (place / "incoming").mkdir()
            server.addShare(name.upper(), str(place), word(rng), readOnly="no")
        threading.Thread(target=server.start, daemon=True).start()


class User:
    """One user: a name, a share, and what is left of the budget."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.folder = folder
        self.share = str(self.params.get("share", SHARES[0])).upper()
        self.name, self.password = word(self.rng), word(self.rng)
        self.left = int(self.params.get("budget_kb", 3_000)) << 10

    def client(self, commands: str, *, fine: tuple[int, ...] = (0,)) -> Ran:
        """One smbclient with its commands."""
        (self.folder / "run").mkdir(exist_ok=True)
        quiet = [
            f"--option={name} directory={self.folder}/run" for name in ("lock", "state", "cache")
        ]
        command = ["smbclient", "-s", "/dev/null", *quiet, "-U", f"{self.name}%{self.password}"]
        command += ["-m", str(self.params.get("dialect", "SMB3")), "-t", str(PATIENCE_S)]
        command += ["-p", str(self.session.port), f"//{self.session.peer['address']}/{self.share}"]
        return run_tool(self.session, [*command, "-c", commands], self.folder, fine=fine)

    def entries(self) -> tuple[list[tuple[str, int]], list[str]]:
        """All files of the share with their sizes, and all folders, as smbclient lists them."""
        files, folders, place = [], [""], ""
        for line in self.client("recurse on; ls").output.splitlines():
            parts = line.split()
            if line.startswith("\\"):
                place = line.strip().strip("\\") + "\\"
            elif line.startswith("  ") and len(parts) >= 7 and parts[0] not in (".", ".."):
                if "D" in parts[1]:
                    folders.append(f"{place}{parts[0]}")
                elif parts[2].isdigit():
                    files.append((f"{place}{parts[0]}", int(parts[2])))
        emit("list", files=len(files), folders=len(folders))
        return files, folders

    def new_file(self) -> Path:
        """A file to write to the share."""
        median = float(self.params.get("file_bytes", 40_000))
        size = heavy(self.rng, median, 1.2, 10, max(min(self.left, 2 << 20), 11))
        path = self.folder / f"{word(self.rng)}-{self.rng.getrandbits(20):x}.bin"
        path.write_bytes(self.rng.randbytes(size))
        self.left -= size
        return path


def act(session: Session) -> None:
    """Use a share as the variant says."""
    variant = str(session.params["variant"])
    with home() as folder:
        user = User(session, folder)
        if variant.startswith("script"):
            _script(user, write=variant == "script-write")
            return
        doing = {"look": _look, "get": _get, "put": _put, "mirror": _mirror}[variant]
        for action in range(int(session.params.get("actions", 3))):
            if (action and not session.rest()) or user.left <= 0:
                return
            doing(user)


def _look(user: User) -> None:
    """List shares or folders, without taking anything."""
    _, folders = user.entries()
    for place in user.rng.sample(folders, min(len(folders), 3)):
        user.client(f'cd "{place}"; ls; du' if place else "ls; du")


def _get(user: User) -> None:
    files, _ = user.entries()
    for path, size in user.rng.sample(files, min(len(files), user.rng.randint(1, 4))):
        user.client(f'get "{path}" got.bin')
        user.left -= size
        emit("file", bytes=size, upload=False)


def _put(user: User) -> None:
    path = user.new_file()
    commands = [f'put "{path}" "incoming\\{path.name}"']
    if user.rng.random() < 0.4:
        commands.append(f'rename "incoming\\{path.name}" "incoming\\{path.stem}.old"')
    elif user.rng.random() < 0.3:
        commands.append(f'del "incoming\\{path.name}"')
    user.client("; ".join(commands))
    emit("file", bytes=path.stat().st_size, upload=True)


def _mirror(user: User) -> None:
    """Take all files of a kind, wherever they are."""
    kind = user.rng.choice(("txt", "md", "csv", "log", "jpg"))
    copy = user.folder / f"copy-{user.rng.getrandbits(20):x}"
    copy.mkdir()
    user.client(
        f'recurse on; prompt off; lcd "{copy}"; mget *.{kind}', fine=(0, 1)
    )  # 1: none there
    got = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
    user.left -= got
    emit("mirror", bytes=got)


def _script(user: User, *, write: bool) -> None:
    """One connection of impacket's client, which stays open from action to action."""
    from impacket.smbconnection import SessionError, SMBConnection

    address, port = user.session.peer["address"], user.session.port
    begun()
    try:
        link = SMBConnection(address, address, sess_port=port, timeout=PATIENCE_S)
        link.login(user.name, user.password)
        try:
            for action in range(int(user.params.get("actions", 3))):
                if (action and not user.session.rest()) or user.left <= 0:
                    break
                if write:
                    path = user.new_file()
                    with path.open("rb") as stream:
                        link.putFile(user.share, f"incoming\\{path.name}", stream.read)
                    emit("file", bytes=path.stat().st_size, upload=True)
                else:
                    _take(user, link)
        finally:
            link.close()
    except SessionError as error:
        raise PeerError(str(error)) from error


def _take(user: User, link: Any) -> None:
    """Go down some folders, and read a file."""
    rng, place = user.rng, ""
    for _ in range(4):
        found = link.listPath(user.share, f"{place}*")
        names = [(one.get_longname(), one.is_directory()) for one in found]
        folders = [name for name, folder in names if folder and name not in (".", "..")]
        files = [name for name, folder in names if not folder]
        if files and (not folders or rng.random() < 0.6):
            content = io.BytesIO()
            link.getFile(user.share, f"{place}{rng.choice(files)}", content.write)
            user.left -= content.tell()
            emit("file", bytes=content.tell(), upload=False)
            return
        if not folders:
            return
        place = f"{place}{rng.choice(folders)}\\"


if __name__ == "__main__":
    main(serve, act)
