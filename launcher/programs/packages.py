"""An archive of Debian packages on nginx, and apt, curl and scripts that keep up with it.

Index and packages are made of the service's seed; apt works on folders of its own, not on the
host's.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
import re
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from common import PeerError, Service, Session, emit, heavy, main, noise, word
from common_site import prose
from common_tool import home, run_tool, time_left_s

BUDGET_BYTES = 20 << 20
ARCHITECTURE = "amd64"
INDEX = f"dists/stable/main/binary-{ARCHITECTURE}"
ENTRY = re.compile(r"^Package: (\S+)$.*?^Filename: (\S+)$", re.MULTILINE | re.DOTALL)


async def serve(service: Service) -> None:
    """Run nginx over a generated archive."""
    from common_daemon import workspace
    from common_nginx import configuration, start_nginx

    folder, rng = workspace(service), service.rng
    build_archive(rng, folder / "site")
    limit = f"limit_rate {rng.choice(('500k', '2m', '8m'))};" if rng.random() < 0.5 else ""
    servers = "\n".join(
        f"server {{ listen {service.address}:{port}; root {folder}/site; autoindex on; {limit} }}"
        for port in service.ports
    )
    await start_nginx(service, folder, configuration(rng, folder, servers=servers))


def build_archive(rng: random.Random, folder: Path) -> None:
    """Write packages, their index and the release file that says what belongs together."""
    entries, left = [], BUDGET_BYTES
    for _ in range(rng.randint(120, 400)):
        name = f"{word(rng, 2, 9)}-{word(rng, 2, 9)}"
        size = heavy(rng, 30_000, 1.4, 1_500, max(min(left // 4, 3 << 20), 1_501))
        entries.append(_package(rng, folder, name, size))
        left -= size
    # As long as the indices of real archives, most of which nobody ever installs.
    entries += [
        _entry(rng, word(rng, 4, 14), 0, "") for _ in range(heavy(rng, 2_500, 0.8, 300, 9_000))
    ]
    text = "\n".join(entries).encode()
    files = {
        f"{INDEX}/Packages": text,
        f"{INDEX}/Packages.gz": gzip.compress(text, 6, mtime=0),
        f"{INDEX}/Packages.xz": lzma.compress(text, preset=0),
    }
    lines = ["Origin: Lab", "Suite: stable", "Codename: stable"]
    lines += [f"Architectures: {ARCHITECTURE}", "Components: main"]
    lines += ["Date: Mon, 01 Jan 2024 00:00:00 UTC", "SHA256:"]
    for path, content in files.items():
        _write(folder / path, content)
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f" {digest} {len(content)} {path.removeprefix('dists/stable/')}")
    _write(folder / "dists/stable/Release", ("\n".join(lines) + "\n").encode())


def _package(rng: random.Random, folder: Path, name: str, size: int) -> str:
    content = b"!<arch>\n" + b"".join(noise(size))
    path = f"pool/main/{name[0]}/{name}/{name}_1.{rng.randint(0, 9)}_{ARCHITECTURE}.deb"
    _write(folder / path, content)
    return _entry(rng, name, len(content), path, hashlib.sha256(content).hexdigest())


def _entry(rng: random.Random, name: str, size: int, path: str, digest: str = "") -> str:
    """One paragraph of the index."""
    lines = [f"Package: {name}", f"Version: 1.{rng.randint(0, 99)}-{rng.randint(1, 9)}"]
    lines += [f"Architecture: {ARCHITECTURE}", "Maintainer: Lab <archive@lab>"]
    lines += [f"Installed-Size: {size // 400}", f"Filename: {path or f'pool/main/{name}.deb'}"]
    lines += [f"Size: {size or rng.randint(1_000, 99_999)}"]
    lines += [f"SHA256: {digest or rng.randbytes(32).hex()}", f"Description: {prose(rng, 60)}"]
    return "\n".join(lines) + "\n"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class User:
    """One machine that is kept up to date."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.folder = folder
        self.base = f"http://{session.peer['address']}:{session.port}"
        self.count = int(self.params.get("packages", 6))

    def pause(self) -> bool:
        """Think; False when there is no time for it."""
        return self.session.rest()


def act(session: Session) -> None:
    """Keep up with the archive by the tool of the variant."""
    variant = str(session.params["variant"])
    with home() as folder:
        user = User(session, folder)
        if variant in ("apt-update", "apt-download"):
            _apt(user, download=variant == "apt-download")
        elif variant == "curl-mirror":
            _curl(user)
        else:
            _script(user, browse=variant == "script-browse")


def _apt(user: User, *, download: bool) -> None:
    """apt with folders of its own: the index, and then some packages."""
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (user.folder / name).mkdir(parents=True)
    (user.folder / "status").touch()
    trust = "[trusted=yes arch=amd64]"
    (user.folder / "etc/sources.list").write_text(f"deb {trust} {user.base} stable main\n")
    settings = {
        "Dir::Etc": user.folder / "etc",
        "Dir::Etc::SourceList": user.folder / "etc/sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": user.folder / "state",
        "Dir::State::Status": user.folder / "status",
        "Dir::Cache": user.folder / "cache",
        "APT::Architecture": ARCHITECTURE,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::http::Proxy": "DIRECT",
        "Acquire::Retries": 0,
        "Acquire::http::Pipeline-Depth": user.rng.choice((0, 5, 10)),
        "Acquire::Queue-Mode": user.rng.choice(("host", "access")),
    }
    file = user.folder / "apt.conf"
    file.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    alone = {"APT_CONFIG": str(file)}
    for action in range(int(user.params.get("actions", 2))):
        if action and not user.pause():
            return
        ran = run_tool(user.session, ["apt-get", "-q", "update"], user.folder, environment=alone)
        emit("update", late=ran.late)
        lists = list((user.folder / "state/lists").glob("*Packages*"))
        if not download or not lists or not user.pause():
            continue
        names = _real(lists[0].read_text(errors="replace"))
        wanted = [name for name, _ in user.rng.sample(names, min(user.count, len(names)))]
        command = ["apt-get", "-q", "download", *wanted]
        ran = run_tool(user.session, command, user.folder, environment=alone)
        got = sum(path.stat().st_size for path in user.folder.glob("*.deb"))
        emit("download", packages=len(wanted), bytes=got, late=ran.late)


def _real(index: str) -> list[tuple[str, str]]:
    """Names and paths of those packages of an index that are more than an entry."""
    found = [ENTRY.search(part) for part in index.split("\n\n")]
    pairs = [(match[1], match[2]) for match in found if match]
    return [(name, path) for name, path in pairs if path.count("/") > 2]


def _curl(user: User) -> None:
    """A mirror's script: the release file, the index, and packages by one curl."""
    common = ["curl", "-sS", "--noproxy", "*"]
    if user.rng.random() < 0.4:
        common.append("--parallel")
    limit = ["-m", f"{time_left_s(user.session):.1f}"]
    index = user.folder / "Packages.gz"
    for name in ("dists/stable/Release", f"{INDEX}/Packages.gz"):
        command = [*common, *limit, f"{user.base}/{name}", "-o", str(user.folder / Path(name).name)]
        run_tool(user.session, command, user.folder, fine=(0, 28))
    if not index.exists() or not user.pause():
        return
    names = _real(gzip.decompress(index.read_bytes()).decode())
    for action in range(int(user.params.get("actions", 2))):
        if action and not user.pause():
            return
        wanted = user.rng.sample(names, min(user.count, len(names)))
        parts = [part for _, path in wanted for part in (f"{user.base}/{path}", "-o", "/dev/null")]
        limit = ["-m", f"{time_left_s(user.session):.1f}", "-w", "%{size_download}\n"]
        ran = run_tool(user.session, [*common, *limit, *parts], user.folder, fine=(0, 28))
        sizes = [int(line) for line in ran.output.split() if line.isdigit()]
        emit("download", packages=len(sizes), bytes=sum(sizes))


def _script(user: User, *, browse: bool) -> None:
    """A script's downloads, a connection each; or somebody who clicks through the folders."""
    link = build_opener(ProxyHandler({}))
    agent = {"User-Agent": f"{word(user.rng)}/{user.rng.randint(1, 9)}.{user.rng.randint(0, 9)}"}

    def get(path: str) -> bytes:
        try:
            limit_s = time_left_s(user.session)
            wish = Request(f"{user.base}/{path}", headers=agent)  # noqa: S310 - http, by ``base``
            with link.open(wish, timeout=limit_s) as reply:
                content: bytes = reply.read()
        except URLError as error:
            raise PeerError(repr(error)) from error
        emit("request", path=path, bytes=len(content))
        return content

    if not browse:
        names = _real(lzma.decompress(get(f"{INDEX}/Packages.xz")).decode())
        for _, path in user.rng.sample(names, min(user.count, len(names))):
            get(path)
            if not user.session.rest(0.3):
                return
        return
    place = "pool/main/"
    for _ in range(user.count * 2):
        found = re.findall(r'<a href="([^".]+/|[^"/]+\.deb)"', get(place).decode())
        step = user.rng.choice(found) if found else ""
        if step.endswith(".deb"):
            get(place + step)
        place = place + step if step.endswith("/") else "pool/main/"
        if not user.pause():
            return


if __name__ == "__main__":
    main(serve, act)
