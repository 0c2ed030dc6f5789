"""A control group for each program of a lab: the second way in which the kernel knows whose it is.

A program may change its group id (a daemon that gives up its rights); out of its control group it
cannot get. Only the v2 hierarchy serves, since only its groups can be matched by nftables.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType


class Leaves:
    """The control groups of a lab's programs.

    Attributes
    ----------
    levels
        How deep in the hierarchy they are, by host.
    owners
        The group id of each one's program, by the id of the control group.
    """

    def __init__(self, root: Path, parents: Mapping[str, Path]) -> None:
        self._parents = MappingProxyType(dict(parents))
        self.levels: Mapping[str, int] = MappingProxyType(
            {host: len(path.relative_to(root).parts) + 1 for host, path in parents.items()}
        )
        self.owners: dict[int, int] = {}

    @classmethod
    def none(cls) -> Leaves:
        """For a machine without such groups."""
        return cls(Path("/"), {})

    def make(self, host: str, owner: int) -> Path | None:
        """A group for a program that is about to start; None where there are none."""
        parent = self._parents.get(host)
        if parent is None:
            return None
        leaf = parent / str(owner)
        try:
            leaf.mkdir(exist_ok=True)
        except FileNotFoundError:  # with its container, as starting the program will tell
            return None
        self.owners[leaf.stat().st_ino] = owner  # which is the id that the kernel tells
        return leaf


def discard(leaf: Path | None) -> None:
    """Remove the group of a program that has ended; what it left running keeps it for the lab."""
    if leaf is not None:
        with contextlib.suppress(OSError):
            leaf.rmdir()


def enter(leaf: Path, pid: int) -> None:
    """Move a process into a group."""
    (leaf / "cgroup.procs").write_text(str(pid), encoding="ascii")
