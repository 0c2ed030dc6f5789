"""Virtual private networks: the lab's keys, and a proxy at the far end that all tunnels lead to.

Keys are derived from the lab's name, so that both ends know them without having met; they protect
nothing but made-up traffic.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import subprocess
from collections.abc import Sequence

from common import PeerError, emit
from common_inside import Open, Streams
from common_socks import ask

PROXY_PORT = 1080
CLIENTS = 250  # of a WireGuard server, numbered from 0


def secret(name: str) -> bytes:
    """32 bytes that both ends derive alike."""
    return hashlib.sha256(f"gsta lab vpn {name}".encode()).digest()


def wireguard_keys(name: str) -> tuple[str, str]:
    """Private and public key of an end, as WireGuard writes them."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.from_private_bytes(secret(name))
    public = key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    return base64.b64encode(secret(name)).decode(), base64.b64encode(public).decode()


def through(interface: str, proxy: str) -> Open:
    """Opens connections by the proxy at the tunnel's far end, by this interface and no other."""

    async def open_connection(address: str, port: int) -> Streams:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (proxy, PROXY_PORT))
            streams = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        await ask(streams, address, port, login=None)
        return streams

    return open_connection


async def until_up(interface: str, proxy: str, wait_s: float) -> None:
    """Return when the far end answers through the tunnel; `PeerError` if it does not."""
    end = asyncio.get_running_loop().time() + wait_s
    while True:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            sock.setblocking(False)
            connecting = asyncio.get_running_loop().sock_connect(sock, (proxy, PROXY_PORT))
            await asyncio.wait_for(connecting, 1.0)
        except (OSError, TimeoutError) as error:
            if asyncio.get_running_loop().time() > end:
                raise PeerError(f"the tunnel does not come up: {error}") from error
            await asyncio.sleep(0.1)
        else:
            emit("tunnel", interface=interface)
            return
        finally:
            sock.close()


def ip(*arguments: str) -> None:
    """Run iproute2's ``ip``."""
    _run(("ip", *arguments))


def wg(*arguments: str) -> None:
    """Run ``wg``."""
    _run(("wg", *arguments))


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerError(f"{command[0]}: {done.stderr.strip()[:150]}")
