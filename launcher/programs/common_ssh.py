"""SSH for the lab programs: connections as many kinds of clients and servers make them.

Typing and file transfer draw from the same clients, so that the handshake tells nothing about
which of the two a connection is.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import asyncssh
import common_net
from common import PeerError, Session, emit, word
from common_lab import LAB
from common_log import ends

PASSWORD = "lab-password"  # noqa: S105 - every account of the lab has it
PASSWORD_S = 0.6  # typing it, or having a program fill it in
KEX = [
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group14-sha256",
]
CIPHERS = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
]
MACS = [
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
]
VERSIONS = [
    "OpenSSH_9.2p1 Debian-2+deb12u3",
    "OpenSSH_8.9p1 Ubuntu-3ubuntu0.10",
    "OpenSSH_9.8",
    "OpenSSH_7.4",
    "PuTTY_Release_0.78",
    "WinSCP_release_6.1.2",
    "libssh2_1.10.0",
    "libssh_0.10.5",
    "paramiko_3.1.0",
    "Go",
    "JSCH_0.2.9",
    "dropbear_2022.83",
]
RARE_MACS = ["hmac-md5", "hmac-sha1-96", "hmac-md5-96"]
HOST_KEYS = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256", "rsa-sha2-512"]
OLD_HOST_KEYS = [
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
]
FARM = 8
Connection = Any  # an asyncssh.SSHClientConnection
Options = dict[str, Any]


def some(rng: random.Random, names: list[str]) -> list[str]:
    """A few of ``names``, in an order of preference."""
    return rng.sample(names, rng.randint(2, len(names)))


def client_options(rng: random.Random) -> Options:
    """Algorithms, version string and keep-alive of one kind of client."""
    compressed = rng.random() < 0.15
    return {
        "known_hosts": None,
        "config": None,
        "agent_path": None,
        "x509_trusted_certs": None,
        "kex_algs": some(rng, KEX),
        "encryption_algs": some(rng, CIPHERS),
        "mac_algs": some(rng, MACS),
        "server_host_key_algs": [
            *some(rng, HOST_KEYS),
            *rng.sample(OLD_HOST_KEYS, rng.randrange(len(OLD_HOST_KEYS))),
        ],
        "compression_algs": ["zlib@openssh.com", "none"] if compressed else ["none"],
        "client_version": rng.choice(VERSIONS),
        "keepalive_interval": rng.choice((0, 0, 0, 3, 5, 10, 30)),
        "login_timeout": 15,
    }


def server_options(rng: random.Random, keys: list[Any]) -> Options:
    """Algorithms, version string and keep-alive of one server of a farm."""
    return {
        "server_host_keys": keys,
        "server_version": rng.choice(VERSIONS),
        "kex_algs": rng.sample(KEX, len(KEX) - rng.randrange(2)),
        "encryption_algs": rng.sample(CIPHERS, len(CIPHERS)),
        "mac_algs": rng.sample(MACS, len(MACS)) + rng.sample(RARE_MACS, rng.randrange(3)),
        "config": None,
        "x509_trusted_certs": None,
        "login_timeout": 30,
        "tcp_keepalive": rng.random() < 0.5,
        "keepalive_interval": rng.choice((0, 15, 30)),
    }


class Dialer:
    """Hands asyncssh a tuned socket; every release takes one as a tunnel."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def create_connection(self, factory: Any, _host: str, _port: int) -> tuple[Any, Any]:
        """What asyncssh asks a tunnel for."""
        sock = common_net.dial(self.session, self.session.port)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        return await loop.create_connection(factory, sock=sock)


class _User(asyncssh.SSHClient):
    """Types the password, as often wrong first as the session says."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.wrong = int(session.params.get("wrong_passwords", 0))

    async def password_auth_requested(self) -> str | None:
        """The next password."""
        rng = self.session.rng
        await self.session.sleep(min(rng.lognormvariate(0, 0.6) * PASSWORD_S, 4.0))
        self.wrong -= 1
        return PASSWORD if self.wrong < 0 else word(rng)


@asynccontextmanager
async def login(session: Session) -> AsyncIterator[Connection]:
    """A logged-in connection."""
    rng = session.rng
    options = client_options(rng)
    if session.params.get("auth") == "key":
        kind = rng.choice(("ssh-ed25519", "ecdsa-sha2-nistp256"))
        options["client_keys"] = [asyncssh.generate_private_key(kind)]
    else:
        options["client_keys"] = None
    try:
        connection = await asyncssh.connect(
            session.peer["address"],
            session.port,
            tunnel=Dialer(session),
            username=word(rng),
            client_factory=lambda: _User(session),
            **options,
        )
        emit("login", method=str(session.params.get("auth", "password")))
        try:
            yield connection
        finally:
            sock = connection.get_extra_info("socket")
            common_net.reset_on_close(sock, share=common_net.RESET_SHARE, rng=rng)
            connection.close()
            await _closed(connection)
    except asyncssh.Error as error:
        raise PeerError(f"SSH: {error}") from error


async def _closed(connection: Connection) -> None:
    try:
        await asyncio.wait_for(connection.wait_closed(), common_net.CLOSE_S)
    except TimeoutError:
        connection.abort()


def connection_ends(connection: Connection) -> dict[str, object]:
    """Both ends of a connection, as events have them."""
    return ends(connection.get_extra_info("sockname"), connection.get_extra_info("peername"))


class Accounts(asyncssh.SSHServer):
    """Knows one password, takes any key and forwards to hosts of the lab."""

    ends: dict[str, object]

    def connection_made(self, conn: Connection) -> None:
        """Note whose connection it is, for the log."""
        self.ends = connection_ends(conn)

    def connection_requested(self, dest_host: str, dest_port: int, *_: object) -> bool:
        """Whether a tunnel may lead there; names are not resolved."""
        emit("forward", address=dest_host, port=dest_port, **self.ends)
        with contextlib.suppress(ValueError):
            return ip_address(dest_host) in LAB
        return False

    def password_auth_supported(self) -> bool:
        """Passwords are."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Whether it is the lab's."""
        good = password == PASSWORD
        emit("auth", user=username, method="password", ok=good, **self.ends)
        return good

    def public_key_auth_supported(self) -> bool:
        """Keys are too."""
        return True

    def validate_public_key(self, username: str, key: Any) -> bool:
        """Any key will do in the lab."""
        emit("auth", user=username, method=key.get_algorithm(), ok=True, **self.ends)
        return True
