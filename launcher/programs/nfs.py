"""NFS: an export in the memory of NFS-Ganesha, used by libnfs and its tools.

Version 3 with the port mapper and the mount protocol, version 4.0 without. The server keeps its
files in memory, because a file system's handles take rights that a lab's host does not have.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_nfs import READ_BYTES, Entry, Mount
from common_tool import home, run_tool

EXPORT = "/data"
FILE_BYTES = 2 << 20  # all that Ganesha keeps of a file
BUDGET_BYTES = 24 << 20
PLUGINS = "/usr/lib/*/ganesha"
CONFIGURATION = """\
NFS_CORE_PARAM {{
  NFS_Port = {nfs}; MNT_Port = {mount}; Bind_addr = {address}; Protocols = 3, 4;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; Plugins_Dir = "{plugins}";
}}
NFSv4 {{
  Graceless = true; Minor_Versions = 0; RecoveryBackend = fs; RecoveryRoot = "{folder}/recovery";
  Only_Numeric_Owners = true;
}}
NFS_KRB5 {{ Active_krb5 = false; CCacheDir = "{folder}/credentials"; }}
MEM {{ Inode_Size = {file_bytes}; }}
EXPORT {{
  Export_Id = 1; Path = "{export}"; Pseudo = "{export}"; Access_Type = RW; Squash = All_Squash;
  SecType = sys; Protocols = 3, 4; Transports = TCP; FSAL {{ Name = MEM; }}
}}
LOG {{ Default_Log_Level = EVENT; }}
"""


async def serve(service: Service) -> None:
    """Run the port mapper and Ganesha, and fill the export."""
    from common_daemon import start_daemon, workspace
    from common_portmap import start_port_mapper

    folder = workspace(service)
    nfs, _, mount = service.ports
    await start_port_mapper(service.address)
    plugins = next(Path("/").glob(PLUGINS.removeprefix("/")), None)
    if plugins is None:
        raise PeerError(f"no plug-ins in {PLUGINS}")
    for name in ("recovery", "credentials"):
        (folder / name).mkdir()
    (folder / "ganesha.conf").write_text(
        CONFIGURATION.format(
            nfs=nfs,
            mount=mount,
            address=service.address,
            plugins=plugins,
            folder=folder,
            file_bytes=FILE_BYTES,
            export=EXPORT,
        )
    )
    command = ["ganesha.nfsd", "-F", "-L", "STDOUT", "-f", str(folder / "ganesha.conf")]
    command += ["-p", str(folder / "ganesha.pid")]
    await start_daemon(service, command, folder=folder, tcp=[nfs, mount])
    await asyncio.to_thread(_fill, service, folder / "files")


def _fill(service: Service, folder: Path) -> None:
    """Make files, and write them to the export."""
    from common_tree import plant

    rng = service.rng
    count, median = rng.randint(30, 70), heavy(rng, 60_000, 0.5, 10_000, 300_000)
    plant(rng, folder, files=count, median_bytes=median, budget_bytes=BUDGET_BYTES)
    place = f"nfs://{service.address}{EXPORT}/"
    export = Mount(place, version=3)
    for path in sorted(folder.rglob("*")):
        name = f"/{path.relative_to(folder)}"
        if path.is_dir():
            export.make_folder(name)
        else:
            export.write(name, path.read_bytes()[:FILE_BYTES], block_bytes=READ_BYTES)
    export.make_folder("/incoming")
    export.close()
    shutil.rmtree(folder)


class User:
    """One user: who it is, the protocol's version, block size and what is left of the budget."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.folder = folder
        self.version = int(self.params.get("version", 3))
        self.block_bytes = int(self.params.get("block_bytes", 65_536))
        self.left = int(self.params.get("budget_kb", 3_000)) << 10
        self.uid = self.rng.randint(1_000, 1_050)

    def url(self, path: str = "/") -> str:
        """A place in the export as libnfs writes it."""
        who = f"uid={self.uid}&gid={self.uid}"
        return f"nfs://{self.session.peer['address']}{EXPORT}{path}?version={self.version}&{who}"

    def tool(self, *command: str) -> str:
        """What one of libnfs's tools says."""
        return run_tool(self.session, command, self.folder).output

    def content(self) -> bytes:
        """Something new to write."""
        median = float(self.params.get("file_bytes", 40_000))
        size = heavy(self.rng, median, 1.2, 10, max(min(self.left, FILE_BYTES), 11))
        self.left -= size
        return self.rng.randbytes(size)

    def new_name(self) -> str:
        """A name for it."""
        return f"/incoming/{word(self.rng)}-{self.rng.getrandbits(20):x}.bin"

    def has_time(self, action: int) -> bool:
        """Think before every action but the first; whether there is time and budget for it."""
        return self.left > 0 and (action == 0 or self.session.rest())


def act(session: Session) -> None:
    """Use the export as the variant says."""
    variant = str(session.params["variant"])
    tools = {"look": _look, "get": _get, "put": _put}
    with home() as folder:
        user = User(session, folder)
        if variant in tools:
            for action in range(int(session.params.get("actions", 3))):
                if not user.has_time(action):
                    return
                tools[variant](user)
            return
        begun()
        mount = Mount(user.url(), version=user.version)
        try:
            emit("mount", version=user.version)
            (_play if variant == "play" else _work)(user, mount)
        finally:
            mount.close()


def _listed(user: User) -> list[Entry]:
    """Everything that the export has, as nfs-ls lists it."""
    said = user.tool("nfs-ls", "-R", user.url())
    found = []
    for line in said.splitlines():
        mode, _, _, _, size, name = line.split(maxsplit=5)
        found.append(Entry(f"/{name.strip('/')}", mode.startswith("d"), int(size)))
    emit("list", entries=len(found))
    return found


def _look(user: User) -> None:
    """List everything, then some folders alone."""
    folders = [entry.path for entry in _listed(user) if entry.is_folder]
    for path in user.rng.sample(folders, min(len(folders), user.rng.randint(1, 4))):
        user.tool("nfs-ls", "-s", user.url(path))


def _get(user: User) -> None:
    """Copy some files, or print them."""
    files = [entry for entry in _listed(user) if not entry.is_folder]
    for entry in user.rng.sample(files, min(len(files), user.rng.randint(1, 4))):
        if user.rng.random() < 0.5:
            user.tool("nfs-cat", user.url(entry.path))
        else:
            user.tool("nfs-cp", user.url(entry.path), str(user.folder / f"copy-{user.left}"))
        user.left -= entry.size
        emit("file", bytes=entry.size, upload=False)


def _put(user: User) -> None:
    """Copy something new to the export."""
    file = user.folder / "new"
    file.write_bytes(user.content())
    user.tool("nfs-cp", str(file), user.url(user.new_name()))
    emit("file", bytes=file.stat().st_size, upload=True)


def _files(user: User, mount: Mount) -> list[Entry]:
    """The files of a folder that somebody goes down to, step by step."""
    path, seen = "/", []
    for _ in range(6):
        entries = mount.entries(path)
        seen = [entry for entry in entries if not entry.is_folder and entry.size]
        folders = [entry.path for entry in entries if entry.is_folder]
        if not folders or (seen and user.rng.random() < 0.4):
            break
        path = user.rng.choice(folders)
    emit("browse", path=path, files=len(seen))
    return seen


def _work(user: User, mount: Mount) -> None:
    """Browse, read, save, and now and then rename or remove what was saved."""
    own: list[str] = []
    for action in range(int(user.params.get("actions", 3))):
        if not user.has_time(action):
            return
        deed = user.rng.choices(("read", "save", "edit", "rename", "remove"), (5, 3, 2, 1, 1))[0]
        if deed == "read" or (deed != "save" and not own):
            _read(user, mount, _files(user, mount))
        elif deed == "rename":
            name = own.pop()
            mount.rename(name, f"{name}.old")
        elif deed == "remove":
            mount.remove(own.pop())
        else:
            new = deed == "save"
            name, content = user.new_name() if new else user.rng.choice(own), user.content()
            mount.write(name, content, block_bytes=user.block_bytes, new=new)
            emit("file", bytes=len(content), upload=True)
            own += [name] * new


def _read(user: User, mount: Mount, files: list[Entry]) -> None:
    if files:
        entry = user.rng.choice(files)
        got = sum(len(block) for block in mount.read(entry.path, block_bytes=user.block_bytes))
        user.left -= got
        emit("file", bytes=got, upload=False)


def _play(user: User, mount: Mount) -> None:
    """Read big files at the pace of who listens or watches, jumping now and then."""
    pace_s = user.block_bytes / float(user.params.get("play_bytes_s", 250_000))
    for action in range(int(user.params.get("actions", 3))):
        if not user.has_time(action):
            return
        files = sorted(_files(user, mount), key=lambda entry: entry.size)[-3:]
        if not files:
            continue
        entry, got = user.rng.choice(files), 0
        begin = user.rng.randrange(max(entry.size // 2, 1)) if user.rng.random() < 0.3 else 0
        for block in mount.read(entry.path, block_bytes=user.block_bytes, begin=begin):
            got += len(block)
            if not user.session.rest_s(pace_s):
                break
        user.left -= got
        emit("played", bytes=got, upload=False)


if __name__ == "__main__":
    main(serve, act)
