"""What the kinds of a lab use of the machine: checked before anything is built."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from launcher.activities.kind import Need
from topologies.errors import MachineError

SYSTEM_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/games"  # often not in a user's path


def program_path(path: str | None = None) -> str:
    """The path that lab programs get: this process's, and where daemons are."""
    return f"{path or os.environ.get('PATH', os.defpath)}:{SYSTEM_FOLDERS}"


def missing(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Those that this machine lacks."""
    return tuple(need for need in needs if not _is_here(need))


def require(needs: Iterable[Need]) -> None:
    """Raise `MachineError` that names everything that hosts without an image lack."""
    lacking = missing(needs)
    if not lacking:
        return
    commands = [need for need in lacking if need.command]
    files = [need for need in lacking if need.file]
    modules = [need for need in lacking if need.module]
    devices = [need for need in lacking if need.device]
    what = [
        *(f"the program {need.command}" for need in commands),
        *(f"the file {need.file}" for need in files),
        *(f"the Python module {need.module}" for need in modules),
        *(f"the device {need.device}" for need in devices),
    ]
    remedies = []
    if commands or files:
        packages = " ".join(sorted({need.package for need in (*commands, *files)}))
        remedies.append(f"apt-get install --no-install-recommends {packages}")
    if modules:
        remedies.append("pip install 'gsta[lab]'")
    if devices:
        remedies.append("modprobe tun, as root of the machine")
    raise MachineError(
        f"the topology's activities use {', '.join(what)}, which this machine does not have",
        remedy=f"{'; '.join(remedies)}; or use the docker back end, whose images have them",
    )


def packages(needs: Iterable[Need]) -> tuple[str, ...]:
    """Debian packages that an image needs."""
    return tuple(sorted({need.package for need in needs if need.package}))


def _is_here(need: Need) -> bool:
    if need.command:
        return shutil.which(need.command, path=program_path()) is not None
    if need.file:
        return Path(need.file).exists()
    if need.device:
        return Path(need.device).exists() and os.geteuid() == 0
    return find_spec(need.module) is not None
