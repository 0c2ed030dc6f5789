"""PostgreSQL: applications, reports, bulk copies, short connections, psql and a small benchmark.

The server refuses to run as root, so ``proot`` shows it another user as itself and as the owner of
its files. The kernel still sees the lab's user and group.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import common_net
import common_sql
from common import PeerError, Service, Session, begun, emit, heavy, main
from common_daemon import start_daemon, workspace
from common_pem import write_server
from common_sql import DATABASE, PASSWORD, USER
from common_tool import home, run_tool

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
AS_NOBODY = ("proot", "-i", "65534:65534")
END_S = 2.0
SETTINGS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "max_connections": "60",
    "shared_memory_type": "mmap",
    "dynamic_shared_memory_type": "mmap",
    "unix_socket_directories": "",
    "ssl": "on",
    "jit": "off",
}


def _tool(name: str) -> str:
    """A program of the server's, which Debian keeps out of the path."""
    for pattern in PLACES:
        for folder in sorted(Path("/").glob(pattern[1:]), reverse=True):
            if (folder / name).exists():
                return str(folder / name)
    return shutil.which(name) or name


async def serve(service: Service) -> None:
    """Make a small database and run the server on it."""
    folder = workspace(service)
    data = folder / "data"
    data.mkdir(mode=0o700)
    _initialise(data)
    files = write_server(service.rng, service.host, service.address, data)
    with (data / "pg_hba.conf").open("a", encoding="ascii") as rules:
        rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
    settings = SETTINGS | {
        "ssl_cert_file": str(files.certificate),
        "ssl_key_file": str(files.key),
        "listen_addresses": service.address,
        "port": str(service.ports[0]),
    }
    _fill(data, service)
    command = [*AS_NOBODY, _tool("postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    await start_daemon(service, command, folder=folder, tcp=service.ports)
    service.at_end(lambda: _stop(data / "postmaster.pid"))


def _stop(file: Path) -> None:
    """End the server so that it gives its shared memory back; a kill would leave it behind."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        number = int(file.read_text(encoding="ascii").split()[0])
        os.kill(number, signal.SIGQUIT)
        deadline = time.monotonic() + END_S
        while file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def _initialise(data: Path) -> None:
    options = ["-U", USER, "--auth-local=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    _quietly([*AS_NOBODY, _tool("initdb"), "-D", str(data), *options])


def _fill(data: Path, service: Service) -> None:
    single = [*AS_NOBODY, _tool("postgres"), "--single", "-D", str(data)]
    single += ["-c", "dynamic_shared_memory_type=mmap"]
    first = [f"CREATE DATABASE {DATABASE}", f"ALTER USER {USER} PASSWORD '{PASSWORD}'"]
    _quietly([*single, "postgres"], first)
    _quietly([*single, DATABASE], common_sql.schema(service.rng, "SERIAL PRIMARY KEY"))


def _quietly(command: Sequence[str], lines: Iterator[str] | Sequence[str] = ()) -> None:
    done = subprocess.run(
        command,
        input="".join(f"{line};\n" for line in lines).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise PeerError(f"{command[0]}: {done.stdout[-300:].decode(errors='replace')}")


def _place(session: Session, mode: str) -> str:
    address, port = session.peer["address"], session.port
    return (
        f"host={address} port={port} user={USER} password={PASSWORD} dbname={DATABASE} "
        f"sslmode={mode} gssencmode=disable connect_timeout=10"
    )


@contextlib.contextmanager
def _connected(session: Session) -> Iterator[Any]:
    import psycopg

    begun()
    try:
        mode = str(session.params.get("sslmode", "prefer"))
        with psycopg.connect(_place(session, mode), prepare_threshold=3) as connection:
            yield connection
    except psycopg.Error as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error


def act(session: Session) -> None:
    """Use the database as the variant says."""
    variant = str(session.params.get("variant", "application"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    if variant == "requests":
        _requests(session)
    elif variant in ("console", "benchmark"):
        with home() as folder:
            (_console if variant == "console" else _benchmark)(session, folder)
    else:
        with _connected(session) as connection:
            if variant == "copy":
                _copy(session, connection)
            else:
                common_sql.work(session, connection, variant)


def _requests(session: Session) -> None:
    """A connection for each request, as web applications without a pool do."""
    for _ in session.actions():
        with _connected(session) as connection, connection.cursor() as cursor:
            for _ in range(session.rng.randint(1, 6)):
                common_sql.run(cursor, common_sql.lookup(session.rng))


def _copy(session: Session, connection: Any) -> None:
    """Bulk data out of a table, or into it."""
    rng = session.rng
    for _ in session.actions():
        with connection.cursor() as cursor:
            moved = 0
            if rng.random() < 0.5:
                limit = heavy(rng, 120, 0.9, 5, common_sql.ITEMS)
                question = f"COPY (SELECT * FROM items LIMIT {limit}) TO STDOUT"  # noqa: S608 - a number
                with cursor.copy(question) as copy:
                    moved = sum(len(block) for block in copy)
            else:
                with cursor.copy("COPY orders (customer, item, amount) FROM STDIN") as copy:
                    for _ in range(heavy(rng, 150, 0.9, 5, 2_000)):
                        copy.write_row(common_sql.order(rng)[1])
                        moved += 1
            emit("copy", amount=moved)
        connection.commit()


def _console(session: Session, folder: Path) -> None:
    """psql with one or more statements."""
    rng = session.rng
    command = ["psql", "-X", "-d", _place(session, str(session.params.get("sslmode", "prefer")))]
    for _ in session.actions():
        lines = [common_sql.typed(rng) for _ in range(rng.randint(1, 5))]
        if rng.random() < 0.3:
            lines.insert(0, rng.choice(("\\dt", "\\d orders", "\\l", "\\du")))
        run_tool(session, command, folder, stdin="\n".join(lines) + "\n")


def _benchmark(session: Session, folder: Path) -> None:
    """pgbench with a script of ours, slowed to a rate."""
    rng = session.rng
    script = folder / "script.sql"
    environment = {"PGPASSWORD": PASSWORD, "PGSSLMODE": str(session.params.get("sslmode"))}
    for _ in session.actions():
        script.write_text("\n".join(common_sql.typed(rng) for _ in range(4)), encoding="utf-8")
        command = [_tool("pgbench"), "-n", "-h", session.peer["address"], "-p", str(session.port)]
        command += ["-U", USER, "-f", str(script), "-c", str(rng.randint(1, 4))]
        command += ["-t", str(rng.randint(3, 25)), "-R", str(rng.choice((10, 20, 50)))]
        command += ["-M", rng.choice(("simple", "extended", "prepared"))]
        run_tool(session, [*command, DATABASE], folder, environment=environment)


if __name__ == "__main__":
    main(serve, act)
