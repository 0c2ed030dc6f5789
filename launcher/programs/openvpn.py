"""OpenVPN over UDP and TCP, and another activity inside."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import common_net
from common import Service, Session, begun, main, word
from common_daemon import start_daemon, workspace
from common_inside import carry
from common_pem import pair, write_authority
from common_proxy import serve_one
from common_tool import home
from common_vpn import PROXY_PORT, through, until_up

NETWORKS = {"udp": "198.19.249", "tcp": "198.19.250"}  # addresses inside the tunnel
START_S = 15.0
CIPHERS = "AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305:AES-256-CBC"


async def serve(service: Service) -> None:
    """A daemon for UDP and one for TCP on the first port; a proxy behind each."""
    port = service.ports[0]
    for transport, network in NETWORKS.items():
        folder = workspace(service)
        write_authority(folder, "ca.pem")
        (folder / "server.pem").write_bytes(
            b"".join(pair(service.rng, service.host, service.address))
        )
        await start_daemon(
            service,
            [
                *("openvpn", "--dev", f"ovs{os.getpid() % 100_000}{transport[0]}"),
                *("--dev-type", "tun", "--mode", "server", "--tls-server", "--topology", "subnet"),
                *("--proto", "udp4" if transport == "udp" else "tcp4-server"),
                *("--local", service.address, "--port", str(port), "--disable-dco"),
                *("--server", f"{network}.0", "255.255.255.0", "--duplicate-cn"),
                *("--ca", "ca.pem", "--cert", "server.pem", "--key", "server.pem", "--dh", "none"),
                *("--verify-client-cert", "none", "--script-security", "2"),
                *("--auth-user-pass-verify", "/bin/true", "via-file", "--tmp-dir", str(folder)),
                *(
                    "--data-ciphers",
                    CIPHERS,
                    "--keepalive",
                    "5",
                    "30",
                    "--verb",
                    "1",
                    "--suppress-timestamps",
                ),
            ],
            folder=folder,
            udp=[port] if transport == "udp" else [],
            tcp=[port] if transport == "tcp" else [],
        )
        own = f"{network}.1"
        inner = Service({"seed": 0, "host": service.host, "address": own, "ports": [PROXY_PORT]})
        await common_net.listen(inner, PROXY_PORT, serve_one)


async def act(session: Session) -> None:
    """Bring a tunnel up and carry another activity through it."""
    transport = "tcp" if session.params["variant"] == "tcp" else "udp"
    async with _tunnel(session, transport) as interface:
        far = f"{NETWORKS[transport]}.1"
        await until_up(interface, far, min(START_S, session.left_s() / 2))
        await carry(session, through(interface, far))


@asynccontextmanager
async def _tunnel(session: Session, transport: str) -> AsyncIterator[str]:
    interface = f"ovc{os.getpid()}"
    with home() as folder:
        write_authority(folder, "ca.pem")
        (folder / "login").write_text(f"{word(session.rng)}\n{word(session.rng)}\n")
        command = ["openvpn", "--client", "--dev", interface, "--dev-type", "tun", "--nobind"]
        command += ["--proto", "udp4" if transport == "udp" else "tcp4-client", "--disable-dco"]
        command += ["--remote", session.peer["address"], str(session.port), "--ca", "ca.pem"]
        command += ["--auth-user-pass", "login", "--verb", "1", "--connect-retry", "1"]
        command += ["--data-ciphers", str(session.params["cipher"]), "--suppress-timestamps"]
        command += ["--ping", str(session.params["ping_s"])]
        begun()
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, cwd=folder, env={**os.environ, "HOME": str(folder)}
        )
        try:
            yield interface
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


if __name__ == "__main__":
    main(serve, act)
