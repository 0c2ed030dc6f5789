"""Working on and watching a remote desktop by RDP.

Servers are FreeRDP's, which share a display that shows text, windows and pictures: one with TLS and
RDP's own security, one that wants authentication on the network level. The client is xfreerdp on a
display in memory, with the hands of somebody who works there.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

import common_net
import common_person
from common import PeerError, Service, Session, begun, emit, main, word
from common_tool import home
from common_x import Window, display_up, server_command

SIZES = ("800x600", "1024x768", "1280x800")
USERS = ("anna", "bruno", "clara", "david", "elena", "felix", "greta", "hugo")
PASSWORD = "lab-password"  # noqa: S105 - every account of the lab has it
PASSWORD_NT_HASH = "26f1657cef52e40c4eaddd9d282ba7c5"  # noqa: S105
END_S, LOOK_S = 1.0, 0.1


async def serve(service: Service) -> None:
    """Run a display, something to see on it, and the servers that share it."""
    from common_daemon import start_daemon, workspace
    from common_desktop import Desktop

    folder, rng = workspace(service), service.rng
    display = f":{os.getpid()}"
    screen = server_command(display, rng.choice(SIZES))
    await start_daemon(service, screen, folder=folder)
    await display_up(display)
    desktop = await asyncio.to_thread(Desktop, rng, display)
    desktop.run_in_thread()
    accounts = folder / "accounts"
    accounts.write_text("".join(f"{user}:::{PASSWORD_NT_HASH}:::\n" for user in USERS))
    plain, network_level = service.ports
    ways = ((plain, ["-auth"]), (network_level, ["/sec:nla", f"/sam-file:{accounts}"]))
    for port, options in ways:
        place = folder / f"{port}"
        place.mkdir()
        command = ["freerdp-shadow-cli", f"/port:{port}", f"/bind-address:{service.address}"]
        await start_daemon(
            service,
            [*command, *options],
            folder=place,
            tcp=[port],
            environment={"DISPLAY": display},
        )


async def act(session: Session) -> None:
    """Work, write or watch as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    with home() as folder:
        display = f":{os.getpid()}"
        screen = server_command(display, "1400x900")
        server = _start(screen, folder, {})
        try:
            await display_up(display)
            begun()
            client = _start(_client_command(session), folder, {"DISPLAY": display})
            try:
                await _use(session, Window(display), client, folder)
            finally:
                _end(client)
        finally:
            _end(server)


def _start(
    command: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    with (folder / command[0]).open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder), **environment},
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _client_command(session: Session) -> list[str]:
    """One of many users' client, with its settings."""
    rng, params = session.rng, session.params
    security = str(params.get("security", "tls"))
    port = session.peer["ports"][-1 if security == "nla" else 0]
    command = ["xfreerdp", f"/v:{session.peer['address']}:{port}", f"/sec:{security}"]
    command += [f"/u:{rng.choice(USERS)}", f"/p:{PASSWORD}", "/cert:ignore", "/log-level:ERROR"]
    command += [f"/client-hostname:{word(rng).upper()}", f"/bpp:{params.get('bits', 32)}"]
    command += [f"/network:{params.get('line', 'lan')}"]
    command += [{"gfx": "/gfx", "rfx": "/rfx"}.get(str(params.get("codec", "")), "/gdi:sw")]
    command += [rng.choice(("+", "-")) + name for name in ("fonts", "themes", "wallpaper")]
    return [*command, rng.choice(("+clipboard", "-clipboard")), "/size:1280x800"]


async def _use(
    session: Session, window: Window, client: subprocess.Popen[bytes], folder: Path
) -> None:
    """See what the server shows, and do something meanwhile."""
    while not window.find():
        _check(client, folder)
        if not await session.sleep(LOOK_S):
            raise PeerError("no picture came in time")
    emit("seen", width=window.width, height=window.height)
    deeds = {"work": common_person.work, "type": common_person.write}
    await deeds.get(str(session.params.get("deed", "work")), common_person.watch)(session, window)
    _check(client, folder)
    emit("left", colours=window.colours())
    window.close()
    deadline = time.monotonic() + END_S
    while client.poll() is None and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_S)


def _check(client: subprocess.Popen[bytes], folder: Path) -> None:
    if client.poll() is not None:
        said = (folder / "xfreerdp").read_text(errors="replace")
        raise PeerError(f"xfreerdp ended with {client.returncode}: {said[-150:].strip()}")


if __name__ == "__main__":
    main(serve, act)
