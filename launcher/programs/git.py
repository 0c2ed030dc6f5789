"""git: repositories cloned, fetched, pushed to and asked about, by git's own protocol and HTTPS.

The repositories are made of the service's seed and grow while the lab runs.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from common import PeerError, Service, Session, emit, heavy, main, word
from common_site import prose
from common_tool import home, run_tool

if TYPE_CHECKING:
    from aiohttp import web

GIT_PORT = 9418
NAMES = ("tools", "site", "kernel", "notes")
GROW_S = 4.0
QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_SSL_NO_VERIFY": "1",
    "GIT_AUTHOR_NAME": "lab",
    "GIT_AUTHOR_EMAIL": "user@lab",
    "GIT_COMMITTER_NAME": "lab",
    "GIT_COMMITTER_EMAIL": "user@lab",
    "NO_PROXY": "*",
}


async def serve(service: Service) -> None:
    """Run git's daemon, and git's HTTP backend behind aiohttp."""
    from common_daemon import start_daemon, workspace

    folder, rng = workspace(service), service.rng
    for name in NAMES:
        await _fill(rng, folder / f"{name}.git", commits=heavy(rng, 60, 0.8, 10, 250))
    for port in service.ports:
        if port != GIT_PORT:
            await _serve_http(service, folder, port)
            continue
        command = ["git", "daemon", "--reuseaddr", f"--listen={service.address}", f"--port={port}"]
        command += [f"--base-path={folder}", "--export-all", "--enable=receive-pack", str(folder)]
        await start_daemon(service, command, folder=folder, tcp=[port], environment=QUIET)
    _growing.append(asyncio.create_task(_grow(rng, folder)))


_growing: list[asyncio.Task[None]] = []  # the loop keeps no hold on a task itself


async def _grow(rng: random.Random, folder: Path) -> None:
    """Commit now and then, so that there is something to fetch."""
    while True:
        await asyncio.sleep(rng.expovariate(1 / GROW_S))
        await _fill(rng, folder / f"{rng.choice(NAMES)}.git", commits=rng.randint(1, 4))


async def _fill(rng: random.Random, repository: Path, *, commits: int) -> None:
    """Add commits to the main branch; make the repository if need be."""
    new = not repository.exists()
    if new:
        await _git("init", "-q", "--bare", "-b", "main", str(repository))
        for name, value in (("http.receivepack", "true"), ("gc.auto", "0")):
            await _git("-C", str(repository), "config", name, value)
    stream = b"".join(_commits(rng, commits, new=new))
    await _git("-C", str(repository), "fast-import", "--quiet", "--force", text=stream)


async def _git(*arguments: str, text: bytes = b"") -> None:
    process = await asyncio.create_subprocess_exec(
        "git", *arguments, stdin=asyncio.subprocess.PIPE, env={**os.environ, **QUIET}
    )
    await process.communicate(text)
    if process.returncode:
        raise PeerError(f"git {' '.join(arguments)} ended with {process.returncode}")


def _commits(rng: random.Random, count: int, *, new: bool) -> Iterator[bytes]:
    """Input of ``git fast-import``: commits that add and change files."""
    for number in range(count):
        message = prose(rng, heavy(rng, 60, 0.8, 5, 600)).encode()
        time_s = 1_700_000_000 + rng.randint(0, 1 << 20)
        yield b"commit refs/heads/main\n"
        yield b"committer lab <user@lab> %d +0000\n" % time_s
        yield b"data %d\n%b\n" % (len(message), message)
        if not number and not new:
            yield b"from refs/heads/main^0\n"
        for _ in range(heavy(rng, 2, 0.7, 1, 12)):
            size = heavy(rng, 2_500, 1.3, 20, 300_000)
            content = prose(rng, size).encode() if rng.random() < 0.9 else rng.randbytes(size)
            path = f"{rng.choice(('src', 'doc', 'test'))}/{word(rng, 3, 6)}.txt"
            yield b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(content), content)
        yield b"\n"


async def _serve_http(service: Service, folder: Path, port: int) -> None:
    from aiohttp import web
    from common_tls import server_contexts

    async def answer(request: web.Request) -> web.StreamResponse:
        return await _backend(request, folder)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for context in server_contexts(service.rng, service.host, ["http/1.1"]):
        site = web.TCPSite(runner, service.address, port, ssl_context=context, reuse_port=True)
        await site.start()


async def _backend(request: web.Request, folder: Path) -> web.StreamResponse:
    """Answer with git's own HTTP backend, a CGI program."""
    from aiohttp import web

    body = await request.read()
    settings = {
        **QUIET,
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    process = await asyncio.create_subprocess_exec(
        *("git", "http-backend"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **settings},
    )
    said, _ = await process.communicate(body)
    head, _, content = said.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200").split(" ")[0])
    emit("request", method=request.method, path=request.path_qs, status=status, bytes=len(said))
    return web.Response(status=status, headers=headers, body=content)


class User:
    """One user: the server, and the clones made so far."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.folder = folder
        address, ports = session.peer["address"], session.peer["ports"]
        secure = [port for port in ports if port != GIT_PORT]
        self.base = f"git://{address}"
        if self.params.get("https") and secure:
            self.base = f"https://{address}:{secure[0]}"
        self.name = str(self.params.get("repository", NAMES[0]))
        self.clone = folder / "clone"

    def git(self, *arguments: str, inside: bool = False) -> str:
        """One git command; its output."""
        place = ["-C", str(self.clone)] if inside else []
        command = ["git", *self.params.get("options", []), *place, *arguments]
        ran = run_tool(self.session, command, self.folder, environment=QUIET)
        emit("git", command=arguments[0], late=ran.late)
        return ran.output

    def clone_it(self, *options: str) -> None:
        """Clone the repository."""
        self.git("clone", "-q", *options, f"{self.base}/{self.name}.git", str(self.clone))

    def commit(self) -> None:
        """Make some changes and commit them on a branch of this user's own."""
        for _ in range(heavy(self.rng, 2, 0.7, 1, 8)):
            path = self.clone / f"{word(self.rng)}.txt"
            path.write_text(prose(self.rng, heavy(self.rng, 4_000, 1.4, 10, 600_000)))
        self.git("add", "-A", inside=True)
        self.git("commit", "-q", "-m", prose(self.rng, 40), inside=True)


def act(session: Session) -> None:
    """Work with a repository as the variant says."""
    variant = str(session.params["variant"])
    actions = int(session.params.get("actions", 3))
    with home() as folder:
        user = User(session, folder)
        if variant == "ask":
            for action in range(actions):
                if action and not session.rest():
                    return
                user.git("ls-remote", f"{user.base}/{user.rng.choice(NAMES)}.git")
        elif variant in ("clone", "shallow"):
            user.clone_it(
                *(["--depth", str(user.rng.randint(1, 5))] if variant == "shallow" else [])
            )
        elif variant == "fetch":
            user.clone_it("--depth", "1") if user.rng.random() < 0.3 else user.clone_it()
            for _ in range(actions):
                if not session.rest(2.0):
                    return
                user.git("fetch", "-q", inside=True)
        else:
            user.clone_it("--depth", "1")
            branch = f"{word(user.rng)}-{user.rng.getrandbits(30):x}"
            user.git("checkout", "-q", "-b", branch, inside=True)
            for _ in range(actions):
                user.commit()
                if not session.rest():
                    return
                user.git("push", "-q", "origin", branch, inside=True)


if __name__ == "__main__":
    main(serve, act)
