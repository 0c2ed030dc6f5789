"""Facts about the machine and the versions a run was made with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

from topologies.code import code_digest


def machine_facts() -> dict[str, str | int | float]:
    """Processor count, memory and kernel; nothing that names the machine or its user."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": pages * page_bytes >> 20,
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "load_1min": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Versions of the programs and libraries that shape the traffic."""
    found = {"python": platform.python_version()}
    for name in ("gsta", "pyroute2", "asyncssh", "h2", "aiosmtpd", "cryptography"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["source"] = code_digest("topologies", "launcher")
    tcpdump = shutil.which("tcpdump") or shutil.which("tcpdump", path="/usr/sbin:/sbin")
    if tcpdump:
        said = subprocess.run([tcpdump, "--version"], capture_output=True, text=True, check=False)
        found["tcpdump"] = (
            (said.stdout + said.stderr).splitlines()[0].removeprefix("tcpdump version ")
        )
    return found
