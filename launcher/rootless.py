"""Labs without root: the launcher runs as root of a user namespace of its own.

There it has network, mount and process-id namespaces of its own as well, so nothing of a lab can
outlive it, and nothing of it reaches the machine's network.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from launcher.labstate import STATE_VARIABLE, labs_directory
from launcher.namespaces import DIRECTORY_VARIABLE
from launcher.syscalls import isolated
from launcher.userns import Setup
from topologies.errors import MachineError

ROOTLESS_VARIABLE: Final = "GSTA_ROOTLESS"
SUBORDINATE_REMEDY: Final = (
    "give the user subordinate group ids: apt-get install uidmap, and a line in /etc/subgid "
    "such as 'USER:100000:65536'; or run as root"
)
_ENOUGH_GROUPS: Final = 60_000
_SWITCHES: Final = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)
_PROBE_S: Final = 20.0


def is_rootless() -> bool:
    """Whether this process runs in a namespace that `reexec_rootless` made."""
    return ROOTLESS_VARIABLE in os.environ


def owners_available() -> bool:
    """Whether processes can be given a group id each, by which the kernel tells flows apart."""
    if os.geteuid() != 0:
        return False
    lines = Path("/proc/self/gid_map").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[2]) for line in lines) >= _ENOUGH_GROUPS


def rootless_command(argv: Sequence[str]) -> list[str]:
    """The command that runs ``argv`` (a program and its arguments) rootless.

    Its exit code is that of ``argv``, or 3 with a line on standard error if there can be no
    namespace. SIGINT, SIGTERM, SIGHUP and SIGQUIT are handed on; if it is killed, everything is.
    """
    namespaces = labs_directory().parent / "netns"
    namespaces.mkdir(exist_ok=True)
    mapper = shutil.which("newgidmap")
    own = (0, os.getegid(), 1)
    spare = _subordinate_groups() if mapper else None
    setup = Setup(
        groups=[own] if spare is None else [own, (1, *spare)],
        map_groups=None if spare is None else mapper,
        namespaces=str(namespaces),
        environment={
            ROOTLESS_VARIABLE: "1",
            STATE_VARIABLE: str(namespaces.parent),
            DIRECTORY_VARIABLE: str(namespaces),
        },
    )
    return [*isolated("launcher.userns"), setup.as_argument(), *argv]


def reexec_rootless(argv: Sequence[str] | None = None) -> NoReturn:
    """Become the same command again, rootless; ``argv`` defaults to this process's own.

    Call it before any lab is made: whatever this process has open or runs is not taken along.
    """
    command = rootless_command(argv or [sys.executable, *sys.orig_argv[1:]])
    os.execv(command[0], command)  # noqa: S606


def rootless_problem() -> str | None:
    """Why there can be no rootless lab here, with the remedy; None if there can. Tries it."""
    if os.geteuid() == 0:
        return None
    try:
        command = rootless_command([sys.executable, "-I", "-S", "-c", ""])
    except MachineError as error:
        return str(error)
    tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PROBE_S)
    if tried.returncode == 0:
        return None
    return f"no user namespace can be made ({tried.stderr.strip()}); {_remedy()}"


def subordinate_range(lines: Iterable[str], *, user: str, user_id: int) -> tuple[int, int] | None:
    """First id and count of a user's first range in the lines of ``/etc/subgid``."""
    for line in lines:
        name, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if name in (user, str(user_id)) and first.isdigit() and count.isdigit():
            return int(first), int(count)
    return None


def _subordinate_groups() -> tuple[int, int] | None:
    try:
        lines = Path("/etc/subgid").read_text(encoding="utf-8").splitlines()
        user = pwd.getpwuid(os.getuid()).pw_name
    except (OSError, KeyError):
        return None
    return subordinate_range(lines, user=user, user_id=os.getuid())


def _remedy() -> str:
    for name, refusing, allowing in _SWITCHES:
        switch = Path("/proc/sys") / name
        if switch.exists() and switch.read_text(encoding="ascii").strip() == refusing:
            return f"as root: sysctl -w {name.replace('/', '.')}={allowing}; or run as root"
    return "in a container, allow user namespaces and mounts in it; or run as root"
