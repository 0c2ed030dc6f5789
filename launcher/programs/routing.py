"""A router's routing daemon: BIRD, which speaks BGP and OSPF, ready once every route is there.

Its parameters are BIRD's configuration and the ranges that the kernel has to have routes to. The
routes that are still missing are named as they come.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import PeerError, Service, emit, main

POLL_S = 0.1
REFUSED = 0x0200  # RTF_REJECT
Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network


async def serve(service: Service) -> None:
    """Start BIRD and return when the routes to all that is expected are there."""
    bird = await _start(service.params["configuration"])
    watching = asyncio.create_task(_end_with(bird))
    expected = [
        (item["network"], ipaddress.ip_network(item["range"]))
        for item in service.params["expected"]
    ]
    said: list[str] | None = None
    while missing := _missing(expected):
        if missing != said:
            emit("missing", what=missing)
            said = missing
        await asyncio.sleep(POLL_S)
    emit("converged", routes=len(expected))
    # Kept from the collector, which would end it.
    service.params["watching"] = watching


async def _start(configuration: str) -> asyncio.subprocess.Process:
    program = shutil.which("bird", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise PeerError("no bird here; apt-get install bird2")
    with tempfile.TemporaryDirectory(prefix="gsta-bird-") as folder:
        file, control = Path(folder, "bird.conf"), Path(folder, "bird.ctl")
        file.write_text(configuration, encoding="utf-8")
        # In the foreground and in our process group: what ends us ends it.
        arguments = ("-f", "-c", str(file), "-s", str(control))
        bird = await asyncio.create_subprocess_exec(program, *arguments)
        while not await _answers(control):
            if bird.returncode is not None:
                raise PeerError(f"bird ended with code {bird.returncode}")
            await asyncio.sleep(POLL_S / 5)
    return bird


async def _answers(control: Path) -> bool:
    """Whether BIRD greets: only then is it done with its files."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(control))
    except OSError:
        return False
    greeting = await reader.readline()
    writer.close()
    return bool(greeting)


async def _end_with(bird: asyncio.subprocess.Process) -> None:
    code = await bird.wait()
    emit("error", error="BirdEnded", message=f"bird ended with code {code}")
    os._exit(1)


def _missing(expected: list[tuple[str, Prefix]]) -> list[str]:
    there = {*_routes4(), *_routes6()}
    return [f"{name} ({prefix})" for name, prefix in expected if prefix not in there]


def _routes4() -> Iterator[Prefix]:
    """What the kernel has IPv4 routes to; it prints addresses as it keeps them."""
    for line in _lines("/proc/net/route")[1:]:
        fields = line.split()
        address, mask = (int(f, 16).to_bytes(4, sys.byteorder) for f in (fields[1], fields[7]))
        length = int.from_bytes(mask, "big").bit_count()
        if not int(fields[3], 16) & REFUSED:
            yield ipaddress.IPv4Network((address, length))


def _routes6() -> Iterator[Prefix]:
    for line in _lines("/proc/net/ipv6_route"):
        fields = line.split()
        if not int(fields[8], 16) & REFUSED:
            yield ipaddress.IPv6Network((bytes.fromhex(fields[0]), int(fields[1], 16)))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:  # a kernel without that protocol
        return []


def act(_: object) -> None:
    """Nobody talks to a routing daemon but its neighbours."""
    sys.exit("this program has no client")


if __name__ == "__main__":
    main(serve, act)
