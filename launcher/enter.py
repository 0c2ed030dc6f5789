"""The last steps of a process on its way into a host of the lab, before it becomes its program.

Runs as ``main([Entry as JSON, program, *arguments])`` in the host's network namespace. Standard
library only: it is the first thing that every program of a lab runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn

from launcher import syscalls

# Enough to read what root can read and to send raw packets (a scan); see capabilities(7).
_CAP_DAC_READ_SEARCH, _CAP_NET_ADMIN, _CAP_NET_RAW = 2, 12, 13
KEPT_CAPABILITIES: Final = (_CAP_DAC_READ_SEARCH, _CAP_NET_RAW)
NETWORK_CAPABILITIES: Final = (*KEPT_CAPABILITIES, _CAP_NET_ADMIN)  # of who sets routes


@dataclass(frozen=True, slots=True)
class Entry:
    """What a process takes on: control groups, host name, files over the machine's, group id.

    ``capabilities`` are the rights that it keeps, by their numbers.
    """

    groups: Sequence[str]
    hostname: str
    files: Mapping[str, str]  # path on the machine -> file that the process sees there
    owner: int | None  # group id; None leaves it as it is
    capabilities: Sequence[int] = KEPT_CAPABILITIES

    def as_argument(self) -> str:
        """The text that `main` takes."""
        return json.dumps(asdict(self))


def enter(entry: Entry) -> None:
    """Take on everything, and give up every right that a program in a host does not need."""
    for group in entry.groups:
        # Moving one thread, which is all there is yet, spares the kernel a lock on every process of
        # the machine. Only v1 groups take threads.
        threads = Path(group) / "tasks"
        (threads if threads.exists() else Path(group) / "cgroup.procs").write_text("0")
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS)
    # Slave, not private: removing a namespace's name must reach this copy of the mounts too.
    syscalls.mount("", Path("/"), "none", syscalls.MS_SLAVE | syscalls.MS_REC)
    for place, file in entry.files.items():
        if Path(place).exists():
            syscalls.mount(file, Path(place), "none", syscalls.MS_BIND)
    syscalls.set_hostname(entry.hostname)
    if entry.owner is not None:
        os.setgroups([])
        os.setresgid(entry.owner, entry.owner, entry.owner)
    syscalls.keep_capabilities(entry.capabilities)


def main(arguments: Sequence[str]) -> NoReturn:
    """Enter, then become the program."""
    enter(Entry(**json.loads(arguments[0])))
    os.execv(arguments[1], list(arguments[1:]))  # noqa: S606
