"""Live capture: tcpdump's packets, read as those of a file are."""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from launcher.capture import Counters, tcpdump_path
from topologies.errors import InputError, MachineError, Problem

if TYPE_CHECKING:
    from flowmeter.config import MeterConfig
    from flowmeter.core.layout import Records
    from flowmeter.input.capture import CaptureReader

LOGGER: Final = logging.getLogger(__name__)
START_S: Final = 10.0
SETTLE_S: Final = 5.0
TURN_S: Final = 0.5  # how often a silent capture lets time pass
# A packet is on its way from the kernel for less than this: time does not overtake it.
LAG_NS: Final = 2_000_000_000
WAITING_BATCHES: Final = 64
NO_RIGHT: Final = ("permission", "Operation not permitted")


@dataclass(slots=True)
class Interface:
    """A network interface to meter; a `flowmeter.stream.LiveSource`.

    tcpdump captures, so this needs its right to (root, or ``CAP_NET_RAW``). The capture ends by
    `stop`, after ``seconds``, or by a Ctrl-C while it waits for packets; what had been captured by
    then still comes out. If tcpdump ends by itself, that is logged as a warning.

    Parameters
    ----------
    name
        As ``ip link`` shows it.
    snaplen
        Bytes kept of each packet, which must cover its headers.
    filter
        A capture filter, as tcpdump takes it.
    seconds
        How long to capture; None: until it is stopped.
    started
        Called when packets are being seen.

    Attributes
    ----------
    counters
        After the end: what tcpdump says that it saw and lost.
    """

    name: str
    snaplen: int = 128
    filter: str = ""
    seconds: float | None = None
    started: Callable[[], object] = lambda: None
    counters: Counters = field(default_factory=Counters, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def stop(self) -> None:
        """End the capture, from a signal handler or another thread; its flows still come out."""
        self._stopped.set()

    @contextmanager
    def opened(self, config: MeterConfig) -> Iterator[_Session]:
        """Capture while the context lasts.

        Raises
        ------
        MachineError
            There is no tcpdump, or this user may not capture.
        InputError
            tcpdump refuses the interface or the filter; says why.
        """
        self._stopped.clear()
        program = subprocess.Popen(
            [
                *(tcpdump_path(), "-i", self.name, "-n", "-U", "--immediate-mode"),
                *("-s", str(self.snaplen), "--time-stamp-precision=nano", "-w", "-"),
                *([self.filter] if self.filter else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for us, who stop it in good order
        )
        with program:
            session = _Session(self, program, config)
            self.started()
            try:
                yield session
            finally:
                session.close()
                self.counters = session.counters()


class _Session:
    """A running tcpdump and the thread that reads it; a `flowmeter.stream.Packets`."""

    live = True
    at_hand = False

    def __init__(
        self, interface: Interface, program: subprocess.Popen[bytes], config: MeterConfig
    ) -> None:
        from flowmeter.input.capture import CaptureReader

        self._interface, self._program = interface, program
        if program.stdout is None or program.stderr is None:
            raise ValueError("tcpdump's outputs must be pipes")
        self._said = _Listener(program.stderr)
        if not self._said.wait_for("listening on", START_S):
            program.kill()
            raise _refusal(interface, self._said.text())
        path = Path(f"/dev/fd/{program.stdout.fileno()}")
        self._reader: CaptureReader = CaptureReader(
            path, corrupt=config.corrupt, tunnels=config.tunnels
        )
        self._queue: queue.Queue[Records | BaseException | None] = queue.Queue(WAITING_BATCHES)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)
        self._thread.start()

    @property
    def tails(self) -> dict[str, str]:
        """How the capture broke off, if it did."""
        return {self._interface.name: self._reader.tail} if self._reader.tail else {}

    def batches(self) -> Iterator[Records | int]:
        """Packets as they come; in a silence the time until which none can be missing."""
        begin = time.monotonic()
        seconds = self._interface.seconds
        stopping = False
        while True:
            over = seconds is not None and time.monotonic() - begin >= seconds
            try:
                if not stopping and (over or self._interface._stopped.is_set()):
                    stopping = True
                    threading.Thread(target=self._stop, name="capture-stop", daemon=True).start()
                item = self._queue.get(timeout=self._patience(begin))
            except queue.Empty:
                yield time.time_ns() - LAG_NS
                continue
            except KeyboardInterrupt:
                self._interface.stop()
                continue
            if item is None:
                if not stopping:
                    LOGGER.warning("the capture on %s ended early: %s", self._interface.name,
                                   self._said.text())  # fmt: skip
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """End tcpdump and the thread, whatever they are at."""
        self._closed.set()
        if self._program.poll() is None:
            self._program.kill()
        self._program.wait(START_S)
        self._thread.join(START_S)

    def counters(self) -> Counters:
        """What tcpdump said at its end."""
        return Counters.read(self._said.text())

    def _stop(self) -> None:
        """End tcpdump once it has written every packet that the kernel has taken up till now.

        At SIGINT it leaves whatever is still in the ring; SIGUSR1 makes it print its counters.
        """
        deadline = time.monotonic() + SETTLE_S
        owed = None
        while time.monotonic() < deadline and self._program.poll() is None:
            before = self._said.length
            self._program.send_signal(signal.SIGUSR1)
            if not self._said.wait_for("dropped by kernel", deadline - time.monotonic(), before):
                break
            now = Counters.read(self._said.since(before))
            if owed is None:
                owed = now.received - now.dropped_by_kernel
            if now.captured >= owed:
                break
        self._program.send_signal(signal.SIGINT)

    def _patience(self, begin: float) -> float:
        """Seconds to wait for packets before time passes, or before the capture is over."""
        if self._interface.seconds is None:
            return TURN_S
        left = self._interface.seconds - (time.monotonic() - begin)
        return min(TURN_S, left) if left > 0 else TURN_S

    def _read(self) -> None:
        """Read batches into the queue (in the thread)."""
        try:
            for batch in self._reader.batches():
                self._put(batch.copy())  # the reader uses its array again
            self._put(None)
        except Exception as error:  # noqa: BLE001 - raised again where the packets are asked for
            self._put(error)

    def _put(self, item: Records | BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=TURN_S)
            except queue.Full:
                continue
            return


class _Listener:
    """Takes in what a program says, so that it never waits for us."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._said = b""
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._listen, name="capture-said", daemon=True)
        self._thread.start()

    @property
    def length(self) -> int:
        """How much it has said."""
        return len(self._said)

    def wait_for(self, words: str, timeout_s: float, begin: int = 0) -> bool:
        """Whether it says this from ``begin`` on, in time; False at once if it ends."""
        wanted = words.encode()
        with self._news:
            self._news.wait_for(lambda: self._ended or wanted in self._said[begin:], timeout_s)
            return wanted in self._said[begin:]

    def since(self, begin: int) -> str:
        """What it has said from ``begin`` on."""
        return self._said[begin:].decode(errors="replace")

    def text(self) -> str:
        """Everything it has said; waits for its end."""
        self._thread.join(START_S)
        return self._said.decode(errors="replace").strip()

    def _listen(self) -> None:
        while data := os.read(self._stream.fileno(), 4096):
            with self._news:
                self._said += data
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def _refusal(interface: Interface, said: str) -> MachineError | InputError:
    words = said.removeprefix("tcpdump: ") or f"it said nothing for {START_S:.0f} s"
    if any(word in words for word in NO_RIGHT):
        return MachineError(
            f"tcpdump may not capture on {interface.name}: {words}",
            remedy="run as root, or give tcpdump the right: setcap cap_net_raw+ep",
        )
    return InputError(
        Problem(
            f"interface {interface.name}",
            path="",
            expected="one that tcpdump captures on"
            + (f", and a filter unlike {interface.filter!r}" if interface.filter else ""),
            got=repr(words),
            remedy="see the names with: tcpdump -D",
        )
    )
