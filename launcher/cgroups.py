"""Control groups: what each host of a lab may use, and a grip on every process of a lab.

A lab is the group ``gsta-<lab>`` at the top of a hierarchy, each host a group in it, in the v2 one
each program a group in that. Membership and
killing use the v2 hierarchy; limits use its controllers, or the v1 hierarchies of the controllers
it does not have. What this machine does not allow is said in notes, not raised: a lab works
without.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from launcher import killing
from topologies import Limits

PREFIX: Final = "gsta-"
CONTROLLERS: Final = ("cpu", "memory", "pids")
MOST_WEIGHT: Final = 16
_PERIOD_US: Final = 100_000
_GONE_S: Final = 5.0
_POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where control groups are mounted: the v2 tree, and v1 trees by controller."""

    unified: Path | None
    separate: Mapping[str, Path]

    def roots(self) -> tuple[Path, ...]:
        """Every tree that a lab may have a group in, once."""
        v2 = () if self.unified is None else (self.unified,)
        return tuple(dict.fromkeys((*v2, *self.separate.values())))


@dataclass(frozen=True, slots=True)
class LabGroups:
    """The groups of one lab: for each host, the folders a process joins; and what is missing."""

    hosts: Mapping[str, tuple[Path, ...]]
    notes: tuple[str, ...]


def read_hierarchies(mounts: Iterable[str]) -> Hierarchies:
    """Find the hierarchies in the lines of ``/proc/self/mounts``."""
    unified: Path | None = None
    separate: dict[str, Path] = {}
    for line in mounts:
        _, place, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            unified = unified or Path(place)
        elif kind == "cgroup":
            for controller in set(options.strip().split(",")) & set(CONTROLLERS):
                separate.setdefault(controller, Path(place))
    return Hierarchies(unified, MappingProxyType(separate))


def hierarchies() -> Hierarchies:
    """The hierarchies of this machine."""
    return read_hierarchies(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines())


def v2_group(groups: Iterable[Path], *, where: Hierarchies | None = None) -> Path | None:
    """The one of a host's groups that is in the v2 hierarchy."""
    root = (where or hierarchies()).unified
    return next((x for x in groups if root is not None and x.is_relative_to(root)), None)


def v2_group_of(pid: int, *, where: Hierarchies | None = None) -> Path | None:
    """The group of the v2 hierarchy that a process is in; None if that is its top."""
    root = (where or hierarchies()).unified
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        number, _, place = line.split(":", 2)
        if root is not None and number == "0" and place != "/":
            return root / place.removeprefix("/")
    return None


def bare_group(lab: str, host: str, *, where: Hierarchies | None = None) -> Path | None:
    """Make a group without limits for a host in the v2 hierarchy; None where that cannot be."""
    root = (where or hierarchies()).unified
    if root is None:
        return None
    group = _lab_group(root, lab) / host
    try:
        group.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return group


def create(lab: str, hosts: Mapping[str, Limits], *, where: Hierarchies | None = None) -> LabGroups:
    """Make a group for each host, with its limits; nothing is raised when the machine refuses."""
    where = where or hierarchies()
    made: dict[str, list[Path]] = {host: [] for host in hosts}
    limited: set[str] = set()
    for root in where.roots():
        usable = _controllers_of(root, where, lab)
        if usable is None:
            continue
        limited |= usable
        if "cpu" in usable:
            _weigh(_lab_group(root, lab), len(hosts), v2=root == where.unified)
        for host, limits in hosts.items():
            group = _lab_group(root, lab) / host
            group.mkdir(exist_ok=True)
            limited -= _refused(group, limits, usable, v2=root == where.unified)
            made[host].append(group)
    notes = []
    if not any(made.values()):
        notes.append("control groups are not writable here: hosts run without limits")
    elif missing := [name for name in CONTROLLERS if name not in limited]:
        notes.append(f"no control group limits on: {', '.join(missing)}")
    groups = {host: tuple(paths) for host, paths in made.items()}
    return LabGroups(MappingProxyType(groups), tuple(notes))


def leftovers(*, where: Hierarchies | None = None) -> set[str]:
    """Ids of the labs that have a control group this user may remove."""
    found = set()
    for root in (where or hierarchies()).roots():
        with contextlib.suppress(OSError):
            mine = (path for path in root.glob(f"{PREFIX}*") if os.access(path, os.W_OK))
            found |= {path.name.removeprefix(PREFIX) for path in mine}
    return found


def processes(lab: str, *, where: Hierarchies | None = None) -> set[int]:
    """Ids of every process in the lab's groups."""
    found: set[int] = set()
    for group in _groups(lab, where or hierarchies()):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    return found - {0}


def kill(lab: str, *, where: Hierarchies | None = None) -> int:
    """Kill every process of the lab and wait until they are gone; how many there were."""
    where = where or hierarchies()
    seen: set[int] = set()
    # Again and again, for a process may have started others before it could be killed.
    while living := processes(lab, where=where) - seen:
        seen |= living
        if where.unified is not None:
            # One write takes the whole tree at once, so that a process that forks cannot get away.
            with contextlib.suppress(OSError):
                (_lab_group(where.unified, lab) / "cgroup.kill").write_text("1")
        killing.kill(living)
    return len(seen)


def remove(lab: str, *, where: Hierarchies | None = None) -> int:
    """Remove the lab's groups, which must hold no process; how many there were."""
    removed = 0
    for group in _groups(lab, where or hierarchies()):
        with contextlib.suppress(FileNotFoundError):
            _remove_soon(group)
            removed += 1
    return removed


def _remove_soon(group: Path) -> None:
    """A group stays busy for a moment after its last process has died."""
    deadline = time.monotonic() + _GONE_S
    while True:
        try:
            return group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def _lab_group(root: Path, lab: str) -> Path:
    return root / f"{PREFIX}{lab}"


def _groups(lab: str, where: Hierarchies) -> Iterator[Path]:
    """The lab's groups in every tree, children before parents."""
    for root in where.roots():
        for path, _, _ in os.walk(_lab_group(root, lab), topdown=False):
            yield Path(path)


def _controllers_of(root: Path, where: Hierarchies, lab: str) -> set[str] | None:
    """Make the lab's group in a tree; the controllers usable there, None if it cannot be made."""
    top = _lab_group(root, lab)
    try:
        top.mkdir(exist_ok=True)
        if root != where.unified:
            return {name for name, place in where.separate.items() if place == root}
        for group in (root, top):
            for controller in CONTROLLERS:
                with contextlib.suppress(OSError):
                    (group / "cgroup.subtree_control").write_text(f"+{controller}")
        return set((top / "cgroup.subtree_control").read_text().split()) & set(CONTROLLERS)
    except OSError:
        return None


def _weigh(group: Path, hosts: int, *, v2: bool) -> None:
    """Let a lab have as much of a busy machine as so many programs, up to a bound.

    With the weight of one, all of its hosts together would get as little as a single other program.
    """
    name, usual = ("cpu.weight", 100) if v2 else ("cpu.shares", 1_024)
    with contextlib.suppress(OSError):
        (group / name).write_text(str(usual * min(max(hosts, 1), MOST_WEIGHT)))


def _refused(group: Path, limits: Limits, usable: set[str], *, v2: bool) -> set[str]:
    refused = set()
    for controller in usable:
        for name, value in _settings(controller, limits, v2=v2):
            try:
                (group / name).write_text(value)
            except OSError:
                refused.add(controller)
    return refused


def _settings(controller: str, limits: Limits, *, v2: bool) -> Sequence[tuple[str, str]]:
    quota_us = int(limits.cpus * _PERIOD_US)
    memory_bytes = str(limits.memory_mb << 20)
    if controller == "pids":
        return [("pids.max", str(limits.pids))]
    if controller == "memory":
        return [("memory.max" if v2 else "memory.limit_in_bytes", memory_bytes)]
    if v2:
        return [("cpu.max", f"{quota_us} {_PERIOD_US}")]
    return [("cpu.cfs_period_us", str(_PERIOD_US)), ("cpu.cfs_quota_us", str(quota_us))]
