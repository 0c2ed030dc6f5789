"""Setting clocks by NTP: daemons, one-shot tools, simple devices, and with network time security.

The server is chrony, which like its clients here leaves the machine's clock alone.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from pathlib import Path

from common import PeerError, Service, Session, emit, main
from common_daemon import start_daemon, workspace
from common_pem import write_authority, write_server
from common_tool import home, run_tool

SINCE_1900_S = 2_208_988_800
WAIT_S, TRIES = 1.5, 3
PACKET = struct.Struct("!BBbbIII8s8s8s8s")
CHRONYD = ("chronyd", "-x", "-d", "-U", "-u", "root")


async def serve(service: Service) -> None:
    """Run chrony as a server that trusts its own clock."""
    folder, rng = workspace(service), service.rng
    files = write_server(rng, service.host, service.address, folder)
    lines = [f"bindaddress {service.address}", f"port {service.ports[0]}", "allow"]
    lines += [f"local stratum {rng.randint(1, 5)}", *_private(folder)]
    if len(service.ports) > 1:
        lines += [f"ntsport {service.ports[1]}", f"ntsserverkey {files.key}"]
        lines += [f"ntsservercert {files.certificate}", "ntsprocesses 0"]
    config = folder / "chrony.conf"
    config.write_text("\n".join(lines) + "\n", encoding="ascii")
    await start_daemon(
        service,
        [*CHRONYD, "-f", str(config)],
        folder=folder,
        udp=service.ports[:1],
        tcp=service.ports[1:],
    )


def _private(folder: Path) -> list[str]:
    """Settings that keep a chrony to its folder."""
    return [f"pidfile {folder}/pid", f"dumpdir {folder}", "cmdport 0", "bindcmdaddress /"]


def act(session: Session) -> None:
    """Ask for the time as the variant says."""
    variant = str(session.params.get("variant", "simple"))
    with home() as folder:
        if variant == "daemon":
            _chrony(session, folder, "daemon")
            return
        for _ in session.actions():
            if variant in ("once", "secure"):
                _chrony(session, folder, variant)
            elif variant == "tool":
                _tool(session, folder)
            else:
                _simple(session)


def _chrony(session: Session, folder: Path, variant: str) -> None:
    """chrony as a client: once, or polling for as long as the session is."""
    rng, ports = session.rng, session.peer["ports"]
    place, more = session.peer["address"], f"port {ports[0]} iburst minpoll -2 maxpoll -1"
    version = rng.choice((3, 4, 4))
    lines = _private(folder)
    if variant == "secure":
        # The certificate is for a name; the lab's hosts file knows hosts by their plain names.
        place, more, version = session.peer["host"], f"{more} nts ntsport {ports[-1]}", 4
        lines += [f"ntstrustedcerts {write_authority(folder)}"]
    lines += [f"server {place} {more} version {version}", "port 0"]
    config = folder / "chrony.conf"
    config.write_text("\n".join(lines) + "\n", encoding="ascii")
    stay_s = max(int(min(session.left_s() - 1, float(session.params.get("stay_s", 5)))), 1)
    options = ["-t", str(stay_s)] if variant == "daemon" else ["-Q", "-t", str(stay_s)]
    family = "-6" if ":" in session.peer["address"] else "-4"
    command = [*CHRONYD, family, *options, "-f", str(config)]
    said = run_tool(session, command, folder, fine=(0, 1)).output
    if variant != "daemon" and "System clock wrong by" not in said and session.left_s() > 1:
        raise PeerError(f"no time: {said[-100:]}")


def _tool(session: Session, folder: Path) -> None:
    """ntpdig, which replaced ntpdate."""
    samples = str(session.rng.randint(1, 4))
    command = ["ntpdig", "-p", samples, "-t", "2", session.peer["address"]]
    run_tool(session, command, folder)


def _simple(session: Session) -> None:
    """A device with a simple client (SNTP): one question, or a few in a row."""
    rng = session.rng
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(WAIT_S)
            sock.connect((session.peer["address"], session.port))
            packet, sent = question(rng)
            emit("time", offset_ms=round(_ask(sock, packet, sent) * 1e3, 3))
        if not session.rest(0.1):
            return


def _ask(sock: socket.socket, packet: bytes, sent: bytes) -> float:
    """The server's clock minus ours, in seconds."""
    for _ in range(TRIES):
        before = time.time()
        sock.send(packet)
        try:
            answer = PACKET.unpack(sock.recv(512)[: PACKET.size])
        except TimeoutError:
            continue
        if answer[0] & 7 != 4 or answer[8] != sent:
            raise PeerError("no answer to our question")
        return _seconds(answer[10]) - (before + time.time()) / 2
    raise PeerError("the server does not answer")


def question(rng: random.Random) -> tuple[bytes, bytes]:
    """A client's packet as one of many makers fills it in, and its time stamp, which comes back."""
    version = rng.choice((1, 2, 3, 3, 4, 4, 4))
    first = rng.choice((0, 0, 3)) << 6 | version << 3 | 3
    now = time.time() + SINCE_1900_S
    stamp = rng.choice((_stamp(now), _stamp(now), rng.randbytes(8), bytes(8)))
    poll, precision = rng.choice(((0, 0), (4, -6), (6, -20), (10, -6), (3, -6)))
    delays = rng.choice(((0, 0), (1 << 16, 1 << 16)))
    empty = bytes(8)
    return PACKET.pack(first, 0, poll, precision, *delays, 0, empty, empty, empty, stamp), stamp


def _stamp(seconds: float) -> bytes:
    return struct.pack("!II", int(seconds) & 0xFFFFFFFF, int(seconds % 1 * 2**32))


def _seconds(stamp: bytes) -> float:
    whole, part = struct.unpack("!II", stamp)
    return float(whole - SINCE_1900_S + part / 2**32)


if __name__ == "__main__":
    main(serve, act)
