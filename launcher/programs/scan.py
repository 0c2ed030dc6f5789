"""Port scans of the lab's own hosts, in several styles, always at a bounded rate.

The targets are the peers the launcher names, never anything else. The scan succeeded when the
open ports it found are exactly those that the services of these hosts listen on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time

import common_net
from common import Session, emit, main, word
from common_log import all_told, connection
from common_syn import ACK, OPTIONS, RST, SYN, Target, answers, segment

# fmt: off
TOP_PORTS = (
    21, 22, 23, 25, 53, 80, 81, 88, 110, 111, 113, 119, 135, 139, 143, 179, 199, 389, 427, 443,
    445, 465, 514, 515, 543, 548, 554, 587, 631, 636, 646, 873, 990, 993, 995, 1025, 1080, 1433,
    1521, 1720, 1723, 1883, 2000, 2049, 2121, 3000, 3128, 3306, 3333, 3334, 3389, 3986, 4899,
    5000, 5060, 5222, 5432, 5666, 5800, 5900, 6000, 6379, 6667, 7070, 8000, 8008, 8080, 8081,
    8443, 8888, 9000, 9090, 9100, 9200, 9418, 10000, 27017, 32768,
)
# fmt: on
MAX_RATE_PPS = 60.0
ANSWER_S = 1.5
SOURCE_PORTS = (20_000, 32_000)  # of half-open scans; the kernel never gives these to others


class Scan:
    """One scan: what to try, how fast, and what was found."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.truth = {
            (peer["address"], int(port))
            for peer in session.peers
            if peer["protocol"] != "udp"
            for port in peer["ports"]
        }
        self.addresses = list(dict.fromkeys(peer["address"] for peer in session.peers))
        self.targets = self._targets()
        self.found: set[Target] = set()
        self.tried: set[Target] = set()
        rate = min(float(self.params.get("rate_pps", 20.0)), MAX_RATE_PPS)
        self.gap_s = 1 / rate
        self.habits = self.rng.getrandbits(64)  # one tool, one kind of socket

    def _targets(self) -> list[Target]:
        count = int(self.params.get("ports", 30))
        known = sorted({port for _, port in self.truth})
        if self.params.get("port_set") == "range":
            middle = self.rng.choice(known or [80])
            first = max(1, middle - self.rng.randrange(count))
            ports = list(range(first, min(first + count, 65_536)))
        else:
            ports = self.rng.sample(TOP_PORTS, min(count, len(TOP_PORTS)))
            # Users of scanners bring lists that fit the place; this one knows its services' ports.
            ports += [port for port in known if port not in ports and self.rng.random() < 0.8]
            ports.sort()
        targets = [(address, port) for address in self.addresses for port in ports]
        if self.params.get("variant") in ("random", "slow", "syn", "syn-burst"):
            self.rng.shuffle(targets)
        return targets

    async def wait(self) -> bool:
        """Keep the rate; False when time is over."""
        return await self.session.sleep(self.rng.expovariate(1 / self.gap_s))

    def open(self, target: Target) -> None:
        """Note an open port."""
        if target not in self.found:
            self.found.add(target)
            emit("open", address=target[0], port=target[1])

    async def connect(self, target: Target) -> socket.socket | None:
        """A connection to a target, or None where nobody listens; silence is asked once more."""
        try:
            return await self._connect(target)
        except TimeoutError:
            with contextlib.suppress(TimeoutError):
                return await self._connect(target)
        return None

    async def _connect(self, target: Target) -> socket.socket | None:
        sock = socket.socket(common_net.family(target[0]), socket.SOCK_STREAM)
        common_net.tune(sock, random.Random(self.habits))
        sock.setblocking(False)
        self.tried.add(target)
        try:
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.sock_connect(sock, target), ANSWER_S)
        except OSError as error:
            sock.close()
            if isinstance(error, TimeoutError):
                raise
            return None
        except BaseException:
            sock.close()
            raise
        return sock

    async def probe(self, target: Target) -> None:
        """Connect scan of one port."""
        sock = await self.connect(target)
        if sock is not None:
            self.open(target)
            if self.rng.random() < float(self.params.get("banner_share", 0.3)):
                await self._listen(sock, self.rng.uniform(0.1, ANSWER_S))
            common_net.reset_on_close(sock, share=0.5, rng=self.rng)
            sock.close()

    async def _listen(self, sock: socket.socket, wait_s: float) -> int:
        """Size of what the other side says within ``wait_s``."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            return len(await asyncio.wait_for(loop.sock_recv(sock, 4_096), wait_s))
        return 0

    async def identify(self, target: Target) -> None:
        """Ask an open port what it is, a connection per question, as version scans do."""
        questions = [
            b"",
            b"\r\n\r\n",
            f"GET /{word(self.rng)} HTTP/1.0\r\n\r\n".encode(),
            f"OPTIONS / HTTP/1.1\r\nHost: {word(self.rng)}\r\n\r\n".encode(),
            b"HELP\r\n",
            b"EHLO scan\r\n",
        ]
        asked = self.rng.sample(questions, self.rng.randint(2, 5))
        for question in [self._tls_hello(), *asked]:
            if not await self.wait() or (sock := await self.connect(target)) is None:
                return
            with sock:
                if question:
                    with contextlib.suppress(OSError):
                        await asyncio.get_running_loop().sock_sendall(sock, question)
                size = await self._listen(sock, self.rng.uniform(0.2, ANSWER_S))
                common_net.reset_on_close(sock, share=0.3, rng=self.rng)
            emit("identify", port=target[1], asked_bytes=len(question), answer_bytes=size)

    def _tls_hello(self) -> bytes:
        import ssl

        from common_tls import client_context

        out = ssl.MemoryBIO()
        secure = client_context(self.rng).wrap_bio(ssl.MemoryBIO(), out)
        with contextlib.suppress(ssl.SSLWantReadError):
            secure.do_handshake()
        return out.read()

    async def by_connecting(self) -> None:
        """Connect to every target, one after the other or several at once."""
        room = asyncio.Semaphore(int(self.params.get("parallel", 1)))

        async def one(target: Target) -> None:
            async with room:
                await self.probe(target)

        tasks = []
        for target in self.targets:
            if not await self.wait():
                break
            task = asyncio.create_task(one(target))
            tasks.append(task)
            if int(self.params.get("parallel", 1)) == 1:
                await task
        await asyncio.gather(*tasks)

    def result(self) -> dict[str, object]:
        """What the scan achieved."""
        expected = self.truth & set(self.targets)
        complete = self.tried >= set(self.targets)
        return {
            "success": complete and bool(expected) and self.found == expected,
            "found": len(self.found),
            "expected": len(expected),
            "tried": len(self.tried),
            "targets": len(self.targets),
        }


async def by_syn(scan: Scan, raw: socket.socket) -> None:
    """Half-open scan: a SYN each, again where nothing came back; the kernel resets what opens."""
    rng = scan.rng
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((scan.addresses[0], 9))
        source = probe.getsockname()[0]
    options = rng.choice(OPTIONS)
    one = rng.randint(*SOURCE_PORTS)
    sports = {
        target: one if scan.params.get("one_source_port") else rng.randint(*SOURCE_PORTS)
        for target in scan.targets
    }
    copies = int(scan.params.get("copies", 1))
    closed: set[Target] = set()

    def take() -> None:
        for target, flags in answers(raw, set(sports.values())):
            if flags & (SYN | ACK) == SYN | ACK and target in sports:
                scan.open(target)
            elif flags & RST:
                closed.add(target)

    for number in range(copies + 1):
        missing = [t for t in scan.targets if t not in scan.found and t not in closed]
        for target in scan.targets if number < copies else missing:
            if not await scan.wait():
                return
            packet = segment(source, target, sports[target], rng.getrandbits(32), options)
            connection("tcp", (source, sports[target]), target)
            raw.sendto(packet, (target[0], 0))
            scan.tried.add(target)
            take()
    end = time.monotonic() + ANSWER_S
    while time.monotonic() < end and len(scan.found | closed) < len(scan.targets):
        await asyncio.sleep(0.02)
        take()


async def act(session: Session) -> None:
    """Scan, perhaps identify what was found, and say whether it worked."""
    scan = Scan(session)
    all_told("tcp", "udp")  # by_syn names what goes by its raw socket
    emit("scan", targets=len(scan.targets), variant=session.params.get("variant"))
    try:
        raw = None
        # Segments are built for IPv4; over IPv6 the scan connects.
        bare = all(common_net.family(a) == socket.AF_INET for a in scan.addresses)
        if bare and str(session.params.get("variant")).startswith("syn"):
            with contextlib.suppress(PermissionError):
                raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
            emit("raw", permitted=raw is not None)
        if raw is None:
            await scan.by_connecting()
        else:
            with raw:
                await by_syn(scan, raw)
        if session.rng.random() < float(session.params.get("identify_share", 0.5)):
            for target in sorted(scan.found):
                await scan.identify(target)
    finally:
        emit("effect", **scan.result())


if __name__ == "__main__":
    main(None, act)
