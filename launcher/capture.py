"""Packet capture of one network: tcpdump on its bridge, stopped without losing the tail."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from launcher.localprogram import LocalProgram
from launcher.namespaces import entered
from launcher.pcapfile import count_packets
from launcher.records import CaptureRecord
from launcher.syscalls import isolated
from topologies.errors import LabError, MachineError

SNAPLEN_BYTES: Final = 9_216  # a whole frame of the largest MTU; the ring's slots are this big
HEADERS_BYTES: Final = 128  # headers with their options; the payload is left out
BUFFER_KIB: Final = 32_768  # of kernel memory, for each capture
START_S: Final = 10.0
SETTLE_S: Final = 5.0
COUNTERS: Final = re.compile(
    r"(\d+) packets? (captured|received by filter|dropped by kernel|dropped by interface)"
)
COUNTERS_END: Final = re.compile(r"dropped by kernel.*\n")  # it comes in pieces
SYSTEM_FOLDERS: Final = ("/usr/sbin", "/sbin")
NO_RIGHT: Final = ("permission", "Operation not permitted")


@dataclass(frozen=True, slots=True)
class Counters:
    """What tcpdump says about itself: frames handed to it, lost in the kernel, lost before."""

    captured: int = 0
    received: int = 0
    dropped_by_kernel: int = 0
    dropped_by_interface: int = 0

    @classmethod
    def read(cls, text: str) -> Counters:
        """The last counters in tcpdump's standard error."""
        found = {name.replace(" ", "_"): int(number) for number, name in COUNTERS.findall(text)}
        received = found.pop("received_by_filter", 0)
        return cls(received=received, **found)


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """How a run is captured.

    Attributes
    ----------
    snaplen_bytes
        Kept of each packet.
    rotate_mb, rotate_s
        Begin a new file after so many million bytes, or seconds; 0 is never.
    ring
        With ``rotate_mb``: keep so many files, the oldest is written over; 0 keeps all.
    """

    snaplen_bytes: int = SNAPLEN_BYTES
    rotate_mb: int = 0
    rotate_s: int = 0
    ring: int = 0

    @property
    def rotates(self) -> bool:
        """Whether there may be several files."""
        return bool(self.rotate_mb or self.rotate_s)


class Program(Protocol):
    """A running capture program, on this machine or in a container."""

    def fileno(self) -> int:
        """Where its standard error is read."""

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""

    def ended(self, timeout_s: float) -> bool:
        """Whether it ends within that time."""


def tcpdump_arguments(interface: str, file: Path | str, options: CaptureOptions) -> list[str]:
    """What tcpdump is told.

    It stays root (``-Z root``), since the run directory may be root's alone, and is handed each
    packet at once, so that a stop leaves no block half read.
    """
    if options.rotate_s:
        file = str(file).removesuffix(".pcap") + ".%s.pcap"
    return [
        *("-i", interface, "-n", "-s", str(options.snaplen_bytes), "-B", str(BUFFER_KIB)),
        *("--immediate-mode", "--time-stamp-precision=nano", "-Z", "root", "-w", str(file)),
        *(("-C", str(options.rotate_mb)) if options.rotate_mb else ()),
        *(("-G", str(options.rotate_s)) if options.rotate_s else ()),
        *(("-W", str(options.ring)) if options.ring else ()),
    ]


def _capture_command(interface: str, file: Path, options: CaptureOptions) -> list[str]:
    """What captures: tcpdump, or its stand-in where tcpdump cannot change its groups."""
    if not _groups_are_fixed():
        return [tcpdump_path(), *tcpdump_arguments(interface, file, options)]
    if options.rotates:
        raise MachineError(
            "the capture cannot be rotated by a user with a single group id",
            remedy="run as root, or leave rotation out",
        )
    return [*isolated("launcher.packets"), interface, str(file), str(options.snaplen_bytes)]


def _groups_are_fixed() -> bool:
    """Whether this is a user namespace of an ordinary user without subordinate groups."""
    try:
        return Path("/proc/self/setgroups").read_text(encoding="ascii").strip() == "deny"
    except FileNotFoundError:
        return False


def start_capture(
    network: str,
    file: Path,
    *,
    interface: str,
    namespace: Path | None,
    run_dir: Path,
    options: CaptureOptions | None = None,
) -> TcpdumpCapture:
    """Capture ``interface`` of a network namespace (None: this one) into a nanosecond pcap file.

    Returns when packets are being seen. A clean-up finds the program by its namespace. ``file`` may
    be a named pipe that somebody reads: then the packets are streamed, not kept.

    Raises
    ------
    MachineError
        There is no tcpdump, or this user may not capture.
    LabError
        tcpdump will not capture that interface; says why.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    command = _capture_command(interface, file, options or CaptureOptions())
    with entered(namespace) if namespace else nullcontext():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the launcher, which stops it in good order
        )
    program = LocalProgram(process)
    program.serve_first()
    return TcpdumpCapture(program, network=network, file=file, run_dir=run_dir)


def tcpdump_path() -> str:
    """Where tcpdump is, also for users whose path lacks the sbin folders."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    found = shutil.which("tcpdump", path=path)
    if found is None:
        raise MachineError(
            "tcpdump, which captures the packets, is not installed",
            remedy="install it: apt-get install tcpdump",
        )
    return found


class TcpdumpCapture:
    """A running tcpdump; a `launcher.backend.Capture`. Made when packets are being seen."""

    def __init__(self, program: Program, *, network: str, file: Path, run_dir: Path) -> None:
        self.program = program
        self._network, self._file, self._run_dir = network, file, run_dir
        self._streamed = file.exists() and stat.S_ISFIFO(file.stat().st_mode)
        self._said = ""
        self._silent = False  # it has closed its standard error: it has ended
        self._record: CaptureRecord | None = None
        deadline = time.monotonic() + START_S
        while "listening on" not in self._said:
            if not self._hear(deadline):
                self._end(signal.SIGKILL)
                raise self._refusal()

    def failure(self) -> str:
        """Why it has ended by itself, so that packets are missing; nothing while it runs."""
        if self._record is not None:
            return self._record.lost
        while not self._silent and self._hear(time.monotonic()):
            pass
        if not self._silent:
            return ""
        self.program.ended(START_S)
        *_, last = self._said.strip().splitlines() or [""]
        return f"the capture of network '{self._network}' ended early: {last}"

    def stop(self) -> CaptureRecord:
        """End it once everything received so far is in the file; may be called twice.

        What it has captured is told even if it had ended by itself: ``lost`` says so.
        """
        if self._record is None:
            lost = self.failure()
            if not lost:
                self._settle()
                self._end(signal.SIGINT)
            self._record = self._read_back(lost)
        return self._record

    def _settle(self) -> None:
        """Wait until tcpdump has written every packet that the kernel has taken up till now.

        At SIGINT it leaves whatever is still in the ring; SIGUSR1 makes it print its counters.
        """
        deadline = time.monotonic() + SETTLE_S
        owed = None
        while time.monotonic() < deadline:
            before = len(self._said)
            self.program.send_signal(signal.SIGUSR1)
            while not COUNTERS_END.search(self._said, before) and self._hear(deadline):
                pass
            now = Counters.read(self._said[before:])
            if owed is None:
                owed = now.received - now.dropped_by_kernel
            if now.captured >= owed:
                return

    def _hear(self, deadline: float) -> bool:
        """Take in what it says next; False at its end or the deadline."""
        stream = self.program.fileno()
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(stream, 4_096) if ready else b""
        self._silent |= bool(ready) and not data
        self._said += data.decode(errors="replace")
        return bool(data)

    def _end(self, number: signal.Signals) -> None:
        self.program.send_signal(number)
        deadline = time.monotonic() + START_S
        while self._hear(deadline):
            pass
        if not self.program.ended(max(0.0, deadline - time.monotonic())):
            self.program.send_signal(signal.SIGKILL)
            self.program.ended(START_S)

    def _read_back(self, lost: str) -> CaptureRecord:
        last = Counters.read(self._said)
        files = () if self._streamed else tuple(self._files())
        written = last.captured if self._streamed else 0
        if not (files or self._streamed):
            lost = lost or f"the capture of network '{self._network}' was removed"
        for file in files:
            try:
                written += count_packets(file)
            except LabError as error:  # cut off within the file's own head: a full disk
                lost = lost or str(error)
        names = [str(file.relative_to(self._run_dir)) for file in files] or [""]
        return CaptureRecord(
            network=self._network,
            file=names[0],
            further=tuple(names[1:]),
            packets=written,
            received=last.received,
            dropped_by_kernel=last.dropped_by_kernel,
            dropped_by_interface=last.dropped_by_interface,
            lost=lost,
        )

    def _files(self) -> Iterator[Path]:
        """What it wrote, oldest first; nothing else begins with a name of ours and a full stop."""
        found = self._file.parent.glob(f"{self._file.stem}.*")
        yield from sorted(found, key=lambda file: (file.stat().st_mtime_ns, file.name))

    def _refusal(self) -> MachineError | LabError:
        said = self._said.strip() or f"it said nothing for {START_S:.0f} s"
        if any(word in said for word in NO_RIGHT):
            return MachineError(
                f"tcpdump may not capture network '{self._network}': {said}",
                remedy="run as root, or let the Docker back end capture (it needs only the "
                "engine's socket)",
            )
        return LabError(f"tcpdump does not capture network '{self._network}': {said}")
