"""MariaDB: applications, reports, imports, short connections and the command line."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common_net
import common_sql
from common import PeerError, Service, Session, begun, emit, main
from common_daemon import start_daemon, workspace
from common_pem import write_authority, write_server
from common_sql import DATABASE, PASSWORD, USER
from common_tool import home, run_tool


async def serve(service: Service) -> None:
    """Make a small database and run the server on it."""
    folder = workspace(service)
    files = write_server(service.rng, service.host, service.address, folder)
    config = folder / "my.cnf"
    lines = ["[mariadbd]", "user=root", f"datadir={folder}/data", f"socket={folder}/socket"]
    lines += [f"bind-address={service.address}", f"port={service.ports[0]}", "skip-name-resolve"]
    lines += ["innodb-log-file-size=4M", "innodb-buffer-pool-size=16M", "innodb-fast-shutdown=2"]
    lines += ["innodb-flush-log-at-trx-commit=0", "innodb-use-native-aio=0", f"tmpdir={folder}"]
    lines += [
        "innodb-temp-data-file-path=ibtmp1:1M:autoextend",
        "aria-log-file-size=8M",
        "innodb-autoextend-increment=1",
    ]
    lines += ["innodb-data-file-path=ibdata1:4M:autoextend", "performance-schema=0"]
    lines += [f"ssl-{name}={file}" for name, file in zip(("cert", "key", "ca"), files, strict=True)]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    start = [f"--defaults-file={config}"]
    make = ["mariadb-install-db", *start, "--auth-root-authentication-method=normal"]
    make += ["--skip-test-db", "--user=root"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    script = folder / "first.sql"
    script.write_text(_first(service), encoding="utf-8")
    await start_daemon(
        service,
        ["mariadbd", *start, f"--init-file={script}"],
        folder=folder,
        tcp=service.ports,
    )


def _first(service: Service) -> str:
    """What the server executes at its start, a statement a line."""
    return "\n".join(
        f"{line};"
        for line in (
            f"CREATE DATABASE {DATABASE}",
            f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON {DATABASE}.* TO {USER}",
            f"USE {DATABASE}",
            *common_sql.schema(service.rng, "INT AUTO_INCREMENT PRIMARY KEY"),
        )
    )


@contextlib.contextmanager
def _connected(session: Session, folder: Path, *, tls: bool = False) -> Iterator[Any]:
    import pymysql

    begun()
    try:
        connection = pymysql.connect(
            host=session.peer["address"],
            port=session.port,
            user=USER,
            password=PASSWORD,
            database=DATABASE,
            connect_timeout=10,
            read_timeout=10,
            ssl={"ca": str(write_authority(folder))} if tls else None,
            ssl_disabled=not tls,
            charset=session.rng.choice(("utf8mb4", "utf8mb4", "latin1")),
        )
        try:
            yield connection
        finally:
            with contextlib.suppress(pymysql.Error):
                connection.close()
    except pymysql.Error as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error


def act(session: Session) -> None:
    """Use the database as the variant says."""
    variant = str(session.params.get("variant", "application"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    with home() as folder:
        if variant == "console":
            _console(session, folder)
        elif variant == "requests":
            _requests(session, folder)
        else:
            with _connected(session, folder, tls=variant == "tls") as connection:
                common_sql.work(session, connection, variant)


def _requests(session: Session, folder: Path) -> None:
    """A connection for each request, as web applications without a pool do."""
    for _ in session.actions():
        with _connected(session, folder) as connection, connection.cursor() as cursor:
            for _ in range(session.rng.randint(1, 6)):
                common_sql.run(cursor, common_sql.lookup(session.rng))


def _console(session: Session, folder: Path) -> None:
    """The command-line client with one or more statements."""
    rng = session.rng
    command = ["mariadb", "--no-defaults", "-h", session.peer["address"], "-P", str(session.port)]
    command += ["-u", USER, f"-p{PASSWORD}", "--protocol=TCP", DATABASE]
    for _ in session.actions():
        lines = [common_sql.typed(rng) for _ in range(rng.randint(1, 5))]
        more = ["--compress"] if rng.random() < 0.2 else []
        run_tool(session, [*command, *more], folder, stdin="\n".join(lines))
        emit("script", statements=len(lines))


if __name__ == "__main__":
    main(serve, act)
