"""Host discovery: which of a network's addresses answer, by nmap, by fping and by requests."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from ipaddress import ip_address, ip_network

from common import Session, emit, main
from common_log import all_told, connection
from common_nmap import run_nmap
from common_tool import home, run_tool

MAX_ADDRESSES, MAX_RATE_S = 128, 100.0
PROBES = {"nmap-ping": ("-PE",), "nmap-syn": ("-PS22,80,443",), "nmap-ack": ("-PA80,443",)}
ANSWER_S = 1.0


async def act(session: Session) -> None:
    """Sweep the addresses around the target; the effect is that the target is found."""
    found: set[str] = set()
    addresses = around(session)
    variant = str(session.params["variant"])
    try:
        if variant == "connect":
            await _connect(session, addresses, found)
        else:
            found |= _by_tool(session, variant, addresses)
    finally:
        success = session.peer["address"] in found
        emit("effect", success=success, found=len(found), tried=len(addresses))


def around(session: Session) -> list[str]:
    """Some of the addresses of the target's own network, the target among them."""
    count = min(int(session.params["addresses"]), MAX_ADDRESSES)
    network = ip_network(f"{session.peer['address']}/{24 if count > 14 else 28}", strict=False)
    target = ip_address(session.peer["address"])
    others = [address for address in network.hosts() if address != target]
    chosen = [target, *session.rng.sample(others, min(count - 1, len(others)))]
    if session.params["order"] == "random":
        session.rng.shuffle(chosen)
    else:
        chosen.sort()
    return [str(address) for address in chosen]


async def _connect(session: Session, addresses: list[str], found: set[str]) -> None:
    """An answer of any kind, even a refusal, says that somebody is there."""
    rate_s = min(float(session.params["rate_s"]), MAX_RATE_S)
    port = session.rng.choice((22, 80, 443, 445))
    loop = asyncio.get_running_loop()

    async def one(address: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            try:
                await asyncio.wait_for(loop.sock_connect(sock, (address, port)), ANSWER_S)
            except (TimeoutError, OSError) as error:
                if not isinstance(error, ConnectionRefusedError):
                    return
        found.add(address)
        emit("host", address=address)

    tasks = []
    for address in addresses:
        tasks.append(asyncio.create_task(one(address)))
        if not await session.sleep(session.rng.expovariate(rate_s)):
            break
    await asyncio.gather(*tasks)


def _by_tool(session: Session, variant: str, addresses: list[str]) -> set[str]:
    rate = str(min(float(session.params["rate_s"]), MAX_RATE_S))
    with home() as folder:
        if variant == "fping":
            gap_ms, began_ns = str(max(int(1_000 / float(rate)), 1)), time.time_ns()
            said = run_tool(
                session, ["fping", "-a", "-r1", "-i", gap_ms, *addresses], folder, fine=None
            ).output
            for address in addresses:
                connection("icmp", ("", 0), (address, 0), began_ns)
            all_told("tcp", "udp")  # it has none
            return set(re.findall(r"^(\d+\.\d+\.\d+\.\d+)$", said, re.MULTILINE))
        command = ["-sn", "--max-rate", rate, "--host-timeout", "5s"]
        # Within a network nmap asks by ARP, which is a sweep of its own kind.
        command += PROBES.get(variant, ()) + (("--disable-arp-ping",) if variant in PROBES else ())
        said = run_nmap(session, [*command, *addresses], folder)
        return set(re.findall(r"Host: (\S+) \(.*Status: Up", said))


if __name__ == "__main__":
    main(None, act)
