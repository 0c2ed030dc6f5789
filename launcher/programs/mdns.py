"""Finding things on the local network by multicast DNS and service discovery.

The responder is python-zeroconf with printers, speakers and the like. Clients ask once from a port
of their own, as many applications do, straight at a responder, or are full members of the game:
they announce themselves and browse, from port 5353.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common import PeerError, Service, Session, begun, emit, heavy, main, word

GROUP = "224.0.0.251"
TYPES = (
    *("_ipp", "_printer", "_airplay", "_raop", "_googlecast", "_spotify-connect", "_ssh", "_smb"),
    *("_http", "_hap", "_companion-link", "_workstation"),
)
THINGS = 14
WAIT_S = 1.2
UNICAST = 0x8000  # in a question's class: answer me alone
PTR, SRV, A, ANY = 12, 33, 1, 255


async def serve(service: Service) -> None:
    """Announce some things and answer questions about them."""
    import asyncio

    await asyncio.to_thread(_announce, service)


def _announce(service: Service) -> None:
    zeroconf = _member(service.address)
    kinds = [f"{TYPES[number % len(TYPES)]}._tcp.local." for number in range(THINGS)]
    things = [_thing(service.rng, kind, service.host, service.address) for kind in kinds]
    # Each takes most of a second: whether its name is free is asked three times.
    with ThreadPoolExecutor(THINGS) as pool:
        list(pool.map(zeroconf.register_service, things))


def _member(address: str) -> Any:
    from zeroconf import IPVersion, Zeroconf

    return Zeroconf(interfaces=[address], ip_version=IPVersion.V4Only)


def _thing(rng: random.Random, kind: str, host: str, address: str) -> Any:
    """Something that can be found: a name, a port, and what it says about itself."""
    from zeroconf import ServiceInfo

    count = heavy(rng, 5, 0.7, 1, 20)
    return ServiceInfo(
        kind,
        f"{word(rng).title()} {word(rng)} {rng.getrandbits(24):x}.{kind}",
        addresses=[socket.inet_aton(address)],
        port=rng.randint(1_024, 60_000),
        properties={word(rng, 2, 6): word(rng, 1, 40) for _ in range(count)},
        server=f"{host}.local.",
    )


def act(session: Session) -> None:
    """Look around as the variant says."""
    variant = str(session.params.get("variant", "once"))
    if variant == "member":
        _be_member(session)
        return
    place = (session.peer["address"] if variant == "direct" else GROUP, session.port)
    for _ in session.actions():
        with _asking(session) as sock:
            if variant == "names":
                _ask(session, sock, place, [(f"{session.peer['host']}.local", A)])
            elif variant == "discover":
                _discover(session, sock, place)
            else:
                kinds = session.rng.sample(TYPES, heavy(session.rng, 1.3, 0.7, 1, 6))
                _ask(session, sock, place, [(f"{kind}._tcp.local", PTR) for kind in kinds])


def _asking(session: Session) -> socket.socket:
    """A socket on a port of its own."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Asks the kernel alone which of this host's addresses faces the service.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((session.peer["address"], session.port))
        mine = socket.inet_aton(probe.getsockname()[0])
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mine)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    return sock


def question(names: list[tuple[str, int]], number: int, flags: int) -> bytes:
    """A query about several names and types."""
    packet = struct.pack("!6H", number, 0, len(names), 0, 0, 0)
    for name, kind in names:
        labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
        packet += labels + b"\0" + struct.pack("!HH", kind, 1 | flags)
    return packet


def _ask(
    session: Session, sock: socket.socket, place: tuple[str, int], names: list[tuple[str, int]]
) -> list[bytes]:
    """Ask once, or again when nobody answers; the answers that came in time."""
    rng = session.rng
    number, flags = rng.choice((0, rng.getrandbits(16))), rng.choice((0, UNICAST))
    answers: list[bytes] = []
    begun()
    for _ in range(2):
        sock.sendto(question(names, number, flags), place)
        end = time.monotonic() + min(WAIT_S, max(session.left_s(), 0.1))
        while (left := end - time.monotonic()) > 0 and len(answers) < len(names):
            sock.settimeout(left)
            try:
                answers.append(sock.recv(9_000))
            except TimeoutError:
                break
        if answers:
            break
    emit("asked", names=len(names), answers=len(answers), bytes=sum(map(len, answers)))
    return answers


def _discover(session: Session, sock: socket.socket, place: tuple[str, int]) -> None:
    """From a type to the things of it, and on to their places."""
    from dnslib import DNSError, DNSRecord

    kind = f"{session.rng.choice(TYPES)}._tcp.local"
    for answer in _ask(session, sock, place, [(kind, PTR)]):
        try:
            found = [str(record.rdata).rstrip(".") for record in DNSRecord.parse(answer).rr]
        except DNSError as error:
            raise PeerError(f"no DNS answer: {error}") from error
        for name in found[:3]:
            if name.endswith(kind) and session.rest(0.2):
                _ask(session, sock, place, [(name, session.rng.choice((SRV, ANY)))])


def _be_member(session: Session) -> None:
    """Announce something, watch what else there is, and say goodbye."""
    from zeroconf import ServiceBrowser, ServiceStateChange

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((session.peer["address"], session.port))
        mine = probe.getsockname()[0]
    zeroconf = _member(mine)
    seen: set[str] = set()

    def notice(name: str, state_change: ServiceStateChange, **_: object) -> None:
        if state_change is ServiceStateChange.Added:
            seen.add(name)

    try:
        rng = session.rng
        thing = _thing(rng, f"{rng.choice(TYPES)}._tcp.local.", word(rng), mine)
        begun()
        zeroconf.register_service(thing)
        for _ in session.actions():
            kinds = [f"{kind}._tcp.local." for kind in rng.sample(TYPES, rng.randint(1, 4))]
            browser = ServiceBrowser(zeroconf, kinds, handlers=[notice])
            session.rest()
            browser.cancel()
            emit("browsed", types=len(kinds), seen=len(seen))
        zeroconf.unregister_service(thing)
    finally:
        zeroconf.close()


if __name__ == "__main__":
    main(serve, act)
