"""The one seam between the launcher and what hosts are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from launcher.capture import CaptureOptions
from launcher.impair import Links
from launcher.plan import LabPlan
from launcher.records import CaptureRecord, EngineRecord
from topologies.errors import LabError


@dataclass(frozen=True, slots=True)
class Command:
    """A lab program to run in a host.

    ``program`` is a module of ``launcher/programs`` (``"web"``), ``arguments`` its role and JSON.
    ``owner`` is the group id its processes get, so the kernel can tell whose flow is whose.
    """

    program: str
    arguments: Sequence[str]
    owner: int
    log: str  # file name below logs/<host>/
    environment: Mapping[str, str] = field(default_factory=dict)
    rules_network: bool = False  # it makes interfaces in its host


@dataclass(frozen=True, slots=True)
class FlowEvent:
    """What the kernel of a host said about a flow that one of the lab's processes has (conntrack).

    ``owner`` is the group id of that process by the connection mark, ``second`` the same by its
    control group; 0 is not known. A ``packet`` is one that is of no flow. An end has both
    directions' counters, the opener's first.
    """

    what: Literal["opened", "accepted", "ended", "packet"]
    time_ns: int
    host: str
    protocol: int
    src: str
    sport: int
    dst: str
    dport: int
    owner: int
    second: int = 0
    start_ns: int = 0
    packets: int = 0
    bytes: int = 0
    reply_packets: int = 0
    reply_bytes: int = 0


class HostGoneError(LabError):
    """One host of the lab has died; the rest of it goes on."""

    def __init__(self, host: str, why: object) -> None:
        self.host = host
        super().__init__(f"host '{host}' has died: {why}")


class Process(Protocol):
    """A program running in a host."""

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""

    def stop(self, grace_s: float) -> int | None:
        """Ask it to end (SIGTERM), then force it (SIGKILL) after ``grace_s``; its exit code."""


class Capture(Protocol):
    """A running packet capture."""

    def failure(self) -> str:
        """Why it has ended by itself; nothing while it runs."""

    def stop(self) -> CaptureRecord:
        """End it without losing the tail and read back the kernel's counters."""


class Watch(Protocol):
    """A running watch of the kernel's flows, on every host of the lab."""

    @property
    def mechanism(self) -> str:
        """How it knows whose a flow is, in words."""

    @property
    def ends_lost(self) -> int:
        """After `stop`: how many reports of ended flows are missing."""

    def stop(self) -> int:
        """Have every flow ended, drain and end; how many reports of flows that began are missing
        (0 unless a socket buffer overran).
        """


class Backend(Protocol):
    """A way to make hosts. One object is one lab; `down` may be called at any time, twice too."""

    name: str
    wires: bool
    """Whether the launcher itself wires the hosts, with Ethernet addresses of its own."""

    @property
    def images(self) -> Mapping[str, str]:
        """Digest by image name; empty without images."""

    @property
    def notes(self) -> Sequence[str]:
        """What this machine could not do (resource limits, say), in words."""

    @property
    def engines(self) -> Sequence[EngineRecord]:
        """The machines that the lab is on, if it is on several."""

    @property
    def links(self) -> Links:
        """The links of the lab's impaired networks; none before `up`."""

    def up(self, plan: LabPlan, run_dir: Path) -> Mapping[str, str]:
        """Create every network and host; the container id or namespace name of each host."""

    def spawn(self, host: str, command: Command) -> Process:
        """Start a program in a host, its output appended to its log file.

        Raises
        ------
        HostGoneError
            The host has died.
        LabError
            It cannot be started for another reason; the lab may be gone.
        """

    def capture(self, point: str, file: Path, options: CaptureOptions | None = None) -> Capture:
        """Start capturing a network, or a host's interface (``client:eth0``).

        Returns when packets are being seen. ``file`` may be a named pipe.
        """

    def watch(self, on_event: Callable[[FlowEvent], None]) -> Watch:
        """Report each flow that a lab process opens or accepts; `MachineError` where it cannot."""

    def down(self) -> None:
        """Remove everything this lab made."""
