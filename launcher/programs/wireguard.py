"""WireGuard in user space: wireguard-go at both ends, and another activity inside."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import common_net
from common import PeerError, Service, Session, begun, main
from common_daemon import start_daemon, workspace
from common_inside import carry
from common_proxy import serve_one
from common_tool import home
from common_vpn import CLIENTS, PROXY_PORT, ip, secret, through, until_up, wg, wireguard_keys

NETWORK = "198.19.248"  # addresses inside the tunnel
SERVER = f"{NETWORK}.1"
SOCKETS = Path("/var/run/wireguard")  # fixed in wireguard-go
START_S = 10.0
SHARED = "with a shared key"


async def serve(service: Service) -> None:
    """Listen on the first port for every numbered client; a proxy behind it."""
    folder, interface = workspace(service), f"wgs{os.getpid()}"
    service.at_end(lambda: (SOCKETS / f"{interface}.sock").unlink(missing_ok=True))
    await start_daemon(
        service, ["wireguard-go", "-f", interface], folder=folder,
        environment={"LOG_LEVEL": "error", "WG_PROCESS_FOREGROUND": "1"},
    )  # fmt: skip
    await _made(interface)
    lines = ["[Interface]", f"PrivateKey = {wireguard_keys('server')[0]}"]
    lines.append(f"ListenPort = {service.ports[0]}")
    for number in range(CLIENTS):
        lines += ["[Peer]", f"PublicKey = {wireguard_keys(f'client {number}')[1]}"]
        lines.append(f"AllowedIPs = {NETWORK}.{number + 2}/32")
        if number % 2:  # every second client has a shared key, too
            lines.append(f"PresharedKey = {_shared()}")
    (folder / "wg.conf").write_text("\n".join(lines) + "\n")
    wg("setconf", interface, str(folder / "wg.conf"))
    ip("address", "add", f"{SERVER}/24", "dev", interface)
    ip("link", "set", interface, "up", "mtu", "1420")
    inner = Service({"seed": 0, "host": service.host, "address": SERVER, "ports": [PROXY_PORT]})
    await common_net.listen(inner, PROXY_PORT, serve_one)


async def act(session: Session) -> None:
    """Bring a tunnel up and carry another activity through it."""
    async with _tunnel(session) as interface:
        await until_up(interface, SERVER, min(START_S, session.left_s() / 2))
        await carry(session, through(interface, SERVER))


@asynccontextmanager
async def _tunnel(session: Session) -> AsyncIterator[str]:
    """This session's own interface, as one of the server's clients."""
    shared = session.params["variant"] == "shared-key"
    number = 2 * session.rng.randrange(CLIENTS // 2) + shared
    interface = f"wgc{os.getpid()}"
    with home() as folder:
        process = await asyncio.create_subprocess_exec(
            "wireguard-go", "-f", interface, stdin=subprocess.DEVNULL, cwd=folder,
            env={**os.environ, "LOG_LEVEL": "error"},
        )  # fmt: skip
        try:
            await _made(interface)
            lines = ["[Interface]", f"PrivateKey = {wireguard_keys(f'client {number}')[0]}"]
            lines += ["[Peer]", f"PublicKey = {wireguard_keys('server')[1]}"]
            lines.append(f"Endpoint = {session.peer['address']}:{session.port}")
            lines.append(f"AllowedIPs = {NETWORK}.0/24")
            if shared:
                lines.append(f"PresharedKey = {_shared()}")
            if session.params["variant"] == "keep-alive":
                lines.append(f"PersistentKeepalive = {session.params['keep_alive_s']}")
            (folder / "wg.conf").write_text("\n".join(lines) + "\n")
            wg("setconf", interface, str(folder / "wg.conf"))
            begun()
            ip("address", "add", f"{NETWORK}.{number + 2}/24", "dev", interface)
            ip("link", "set", interface, "up", "mtu", str(session.params["mtu"]))
            yield interface
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            (SOCKETS / f"{interface}.sock").unlink(missing_ok=True)


def _shared() -> str:
    import base64

    return base64.b64encode(secret(SHARED)).decode()


async def _made(interface: str) -> None:
    """Wait for wireguard-go's control socket."""
    end = asyncio.get_running_loop().time() + START_S
    while not (SOCKETS / f"{interface}.sock").exists():
        if asyncio.get_running_loop().time() > end:
            raise PeerError("wireguard-go made no interface")
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    main(serve, act)
