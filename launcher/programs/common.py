"""What every lab program shares: its command line, its events, its clock and its waiting.

A program is ``python PROGRAM.py server JSON`` or ``python PROGRAM.py client JSON``. It writes one
JSON line per thing that happened; a server runs until SIGTERM, a client until it is done.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import math
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

_POOL = random.Random(1).randbytes(1 << 18)


class PeerError(Exception):
    """The other side did not keep to the protocol, or refused what it should do."""


class Ended(BaseException):
    """SIGTERM, or the session's time is over; not an error, so no ``except Exception`` eats it."""


class NotBegun(Ended):
    """The same before the session has begun: that is one."""


FAILURES = (PeerError, OSError, EOFError, ValueError)
_begun = threading.Event()


def begun() -> None:
    """Note that the session begins to talk. An event says so, too."""
    _begun.set()


_about: contextvars.ContextVar[tuple[tuple[str, object], ...]] = contextvars.ContextVar(
    "about", default=()
)


def about(**fields: object) -> None:
    """Have these fields in every further event of this task."""
    _about.set((*_about.get(), *fields.items()))


def emit(event: str, **fields: object) -> None:
    """Write one event line."""
    begun()
    line = json.dumps({"time_ns": time.time_ns(), "event": event, **dict(_about.get()), **fields})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def noise(size: int, block: int = 16_384) -> Iterator[bytes]:
    """``size`` incompressible bytes in blocks, at almost no cost."""
    offset = random.randrange(len(_POOL))
    while size > 0:
        take = min(size, block, len(_POOL) - offset)
        yield _POOL[offset : offset + take]
        size -= take
        offset = (offset + take) % len(_POOL)


def word(rng: random.Random, low: int = 3, high: int = 12) -> str:
    """A pronounceable lower-case word."""
    length = rng.randint(low, high)
    return "".join(rng.choice("aeiouy" if i % 2 else "bcdfghklmnprstvz") for i in range(length))


def heavy(rng: random.Random, median: float, sigma: float, low: float, high: float) -> int:
    """A log-normal size, cut to [low, high]."""
    return int(min(max(rng.lognormvariate(math.log(median), sigma), low), high))


class Service:
    """What a server is told."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.rng = random.Random(config["seed"])
        self.host: str = config["host"]
        self.address: str = config["address"]
        self.ports: list[int] = list(config["ports"])
        self.params: dict[str, Any] = config.get("params") or {}
        self.shared: dict[str, dict[str, Any]] = config.get("shared") or {}
        self.stopping = False
        self._at_end: list[Callable[[], object]] = []

    def at_end(self, action: Callable[[], object]) -> None:
        """Have something done when the server is told to end; the last said is done first."""
        self._at_end.append(action)

    def end(self) -> None:
        """Do what is to be done at the end."""
        while self._at_end:
            self._at_end.pop()()


class Session:
    """What a client is told, and its clock."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.rng = random.Random(config["seed"])
        self.params: dict[str, Any] = config.get("params") or {}
        self.peers: list[dict[str, Any]] = config["peers"]
        self.think: dict[str, Any] = config.get("think_time") or {"distribution": "constant"}
        self.duration_s = float(config["duration_s"])
        self.inside: dict[str, Any] | None = config.get("inside")
        self.shared: str = config.get("shared") or ""
        self.stopped = False
        self._end = time.monotonic() + self.duration_s

    @property
    def peer(self) -> dict[str, Any]:
        """The service of this session."""
        return self.peers[0]

    @property
    def port(self) -> int:
        """Its usual port."""
        return int(self.peer["port"] or self.peer["ports"][0])

    def left_s(self) -> float:
        """Seconds until the session must be over."""
        return self._end - time.monotonic()

    def actions(self, usual: int = 5) -> Iterator[int]:
        """Numbers of the session's actions, with thinking between them, while there is time."""
        for action in range(int(self.params.get("actions", usual))):
            if action and not self.rest(float(self.params.get("think_scale", 1.0))):
                return
            yield action

    async def paced_actions(self, usual: int = 5) -> AsyncIterator[int]:
        """`actions` for asynchronous clients."""
        for action in range(int(self.params.get("actions", usual))):
            if action and not await self.pause(float(self.params.get("think_scale", 1.0))):
                return
            yield action

    def think_s(self) -> float:
        """Draw one think time, in seconds."""
        return min(_draw_s(self.rng, self.think), float(self.think.get("maximum_s", 60.0)))

    def rest(self, scale: float = 1.0) -> bool:
        """Think; False, at once, when the session would be over before the thought is."""
        return self.rest_s(scale * self.think_s())

    def rest_s(self, wait_s: float) -> bool:
        """Wait this long; False, at once, when the session would be over before."""
        if wait_s >= self.left_s():
            return False
        time.sleep(wait_s)
        return True

    async def pause(self, scale: float = 1.0) -> bool:
        """`rest` for asynchronous clients."""
        return await self.sleep(scale * self.think_s())

    async def sleep(self, wait_s: float) -> bool:
        """Wait this long; False, at once, when the session would be over before."""
        import asyncio

        if wait_s >= self.left_s():
            return False
        await asyncio.sleep(wait_s)
        return True


def _draw_s(rng: random.Random, think: dict[str, Any]) -> float:
    name = think.get("distribution", "constant")
    if name == "uniform":
        return rng.uniform(think["low_s"], think["high_s"])
    if name == "exponential":
        return rng.expovariate(1 / think["mean_s"])
    if name == "lognormal":
        return rng.lognormvariate(math.log(think["median_s"]), think.get("sigma", 0.8))
    if name == "pareto":
        return float(think["minimum_s"] * rng.paretovariate(think.get("shape", 1.5)))
    return float(think.get("value_s", 0.5))


def main(
    serve: Callable[[Service], Awaitable[None]] | None,
    act: Callable[[Session], Awaitable[None] | None],
) -> None:
    """Run as server or client, as the command line says, and exit with its code."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("server", "client"):
        sys.exit("usage: PROGRAM server|client JSON")
    # Old releases of the libraries use parts of each other that newer ones are about to drop.
    warnings.simplefilter("ignore")
    config = json.loads(sys.argv[2])
    if sys.argv[1] == "client":
        sys.exit(_run_client(act, Session(config)))
    if serve is None:
        sys.exit("this program has no server of its own")
    import asyncio

    asyncio.run(_run_server(serve, Service(config)))


async def _run_server(serve: Callable[[Service], Awaitable[None]], service: Service) -> None:
    import asyncio

    stop = asyncio.Event()

    def stopped() -> None:
        service.stopping = True
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped)
    try:
        await serve(service)
        emit("ready", ports=service.ports)
        await stop.wait()
        emit("end")
    finally:
        service.end()
    # Whatever is still open ends with the process, as when a daemon is stopped.
    os._exit(0)


def _end(*_: object) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise Ended if _begun.is_set() else NotBegun


def _run_client(act: Callable[[Session], Awaitable[None] | None], session: Session) -> int:
    from common_log import tell_connections

    tell_connections()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, _end)
    signal.setitimer(signal.ITIMER_REAL, max(session.duration_s, 0.01))
    try:
        try:
            work = act(session)
            if work is not None:
                import asyncio

                asyncio.run(_until_ended(work))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # time may be over in this very moment
    except NotBegun:
        emit("error", error="NotBegun", message="its time was over before it had begun")
        return 1
    except Ended:
        pass
    except FAILURES as error:
        emit("error", error=type(error).__name__, message=str(error)[:200])
        return 1
    return 0


async def _until_ended(work: Awaitable[None]) -> None:
    import asyncio

    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not inside a task")
    late = []

    def end() -> None:
        late.append(not _begun.is_set())
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    signal.setitimer(signal.ITIMER_REAL, 0)  # a loop that closes cannot be told that time is over
    if any(late):
        raise NotBegun
