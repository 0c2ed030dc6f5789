"""The one seam between the launcher and what hosts are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from launcher.impair import Links
from launcher.plan import LabPlan
from launcher.records import CaptureRecord


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


@dataclass(frozen=True, slots=True)
class FlowEvent:
    """The kernel confirmed a new flow that one of the lab's processes opened (conntrack NEW)."""

    time_ns: int
    host: str
    protocol: int
    src: str
    sport: int
    dst: str
    dport: int
    owner: int  # the group id, from the connection mark


class Process(Protocol):
    """A program running in a host."""

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""

    def stop(self, grace_s: float) -> int | None:
        """Ask it to end (SIGTERM), then force it (SIGKILL) after ``grace_s``; its exit code."""


class Capture(Protocol):
    """A running packet capture."""

    def stop(self) -> CaptureRecord:
        """End it without losing the tail and read back the kernel's counters."""


class Watch(Protocol):
    """A running watch of the kernel's new flows, on every host of the lab."""

    def stop(self) -> int:
        """Drain and end it; the number of events lost (0 unless a socket buffer overran)."""


class Backend(Protocol):
    """A way to make hosts. One object is one lab; `down` may be called at any time, twice too."""

    name: str

    @property
    def images(self) -> Mapping[str, str]:
        """Digest by image name; empty without images."""

    @property
    def notes(self) -> Sequence[str]:
        """What this machine could not do (resource limits, say), in words."""

    @property
    def links(self) -> Links:
        """The links of the lab's impaired networks; none before `up`."""

    def up(self, plan: LabPlan, run_dir: Path) -> Mapping[str, str]:
        """Create every network and host; the container id or namespace name of each host."""

    def spawn(self, host: str, command: Command) -> Process:
        """Start a program in a host, its output appended to its log file."""

    def capture(self, network: str, file: Path) -> Capture:
        """Start capturing a network; returns when packets are being seen."""

    def watch(self, on_event: Callable[[FlowEvent], None]) -> Watch:
        """Report each new flow that a lab process opens; `MachineError` where it cannot."""

    def down(self) -> None:
        """Remove everything this lab made."""
