"""Packet capture of one network: tcpdump on its bridge, stopped without losing the tail."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import struct
import subprocess
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from launcher.namespaces import entered
from launcher.records import CaptureRecord
from launcher.syscalls import isolated
from topologies.errors import LabError, MachineError

SNAPLEN_BYTES: Final = 9_216  # a whole frame of the largest MTU; the ring's slots are this big
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


class Program(Protocol):
    """A running capture program, on this machine or in a container."""

    def fileno(self) -> int:
        """Where its standard error is read."""

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""

    def ended(self, timeout_s: float) -> bool:
        """Whether it ends within that time."""


def tcpdump_arguments(interface: str, file: Path | str, *, snaplen_bytes: int) -> list[str]:
    """What tcpdump is told.

    It stays root (``-Z root``), since the run directory may be root's alone, and is handed each
    packet at once, so that a stop leaves no block half read.
    """
    return [
        *("-i", interface, "-n", "-s", str(snaplen_bytes), "-B", str(BUFFER_KIB)),
        *("--immediate-mode", "--time-stamp-precision=nano", "-Z", "root", "-w", str(file)),
    ]


def _capture_command(interface: str, file: Path, *, snaplen_bytes: int) -> list[str]:
    """What captures: tcpdump, or its stand-in where tcpdump cannot change its groups."""
    if _groups_are_fixed():
        return [*isolated("launcher.packets"), interface, str(file), str(snaplen_bytes)]
    return [tcpdump_path(), *tcpdump_arguments(interface, file, snaplen_bytes=snaplen_bytes)]


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
    snaplen_bytes: int = SNAPLEN_BYTES,
) -> TcpdumpCapture:
    """Capture ``interface`` of a network namespace (None: this one) into a nanosecond pcap file.

    Returns when packets are being seen. A clean-up finds the program by its namespace.

    Raises
    ------
    MachineError
        There is no tcpdump, or this user may not capture.
    LabError
        tcpdump will not capture that interface; says why.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    command = _capture_command(interface, file, snaplen_bytes=snaplen_bytes)
    with entered(namespace) if namespace else nullcontext():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the launcher, which stops it in good order
        )
    return TcpdumpCapture(LocalProgram(process), network=network, file=file, run_dir=run_dir)


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


class LocalProgram:
    """A `Program` that is a child of ours."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stderr is None:
            raise ValueError("its standard error must be a pipe")
        self._process, self._stderr = process, process.stderr

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Where its standard error is read."""
        return self._stderr.fileno()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    def ended(self, timeout_s: float) -> bool:
        """Whether it ends within that time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._stderr.close()
        return True


class TcpdumpCapture:
    """A running tcpdump; a `launcher.backend.Capture`. Made when packets are being seen."""

    def __init__(self, program: Program, *, network: str, file: Path, run_dir: Path) -> None:
        self.program = program
        self._network, self._file, self._run_dir = network, file, run_dir
        self._said = ""
        self._record: CaptureRecord | None = None
        deadline = time.monotonic() + START_S
        while "listening on" not in self._said:
            if not self._hear(deadline):
                self._end(signal.SIGKILL)
                raise self._refusal()

    def stop(self) -> CaptureRecord:
        """End it once everything received so far is in the file; idempotent.

        Raises
        ------
        LabError
            tcpdump had ended by itself, so packets are missing.
        """
        if self._record is None:
            self._hear(time.monotonic())
            if self.program.ended(0):
                said = self._said.strip()
                raise LabError(f"the capture of network '{self._network}' ended early: {said}")
            self._settle()
            self._end(signal.SIGINT)
            self._record = self._read_back()
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

    def _read_back(self) -> CaptureRecord:
        last = Counters.read(self._said)
        return CaptureRecord(
            network=self._network,
            file=str(self._file.relative_to(self._run_dir)),
            packets=count_packets(self._file),
            received=last.received,
            dropped_by_kernel=last.dropped_by_kernel,
            dropped_by_interface=last.dropped_by_interface,
        )

    def _refusal(self) -> MachineError | LabError:
        said = self._said.strip() or f"it said nothing for {START_S:.0f} s"
        if any(word in said for word in NO_RIGHT):
            return MachineError(
                f"tcpdump may not capture network '{self._network}': {said}",
                remedy="run as root, or let the Docker back end capture (it needs only the "
                "engine's socket)",
            )
        return LabError(f"tcpdump does not capture network '{self._network}': {said}")


def count_packets(file: Path) -> int:
    """Packets in a classic pcap file of this machine's byte order; a half-written last is not one.

    Raises
    ------
    LabError
        It is no such file.
    """
    with file.open("rb") as stream:
        head = stream.read(24)
        if len(head) < 24 or struct.unpack_from("=I", head)[0] not in (0xA1B2C3D4, 0xA1B23C4D):
            raise LabError(f"{file} is not a capture that tcpdump wrote here")
        size, count, offset = file.stat().st_size, 0, 24
        while len(record := stream.read(16)) == 16:
            offset += 16 + int(struct.unpack_from("=I", record, 8)[0])
            if offset > size:
                break
            stream.seek(offset)
            count += 1
    return count
