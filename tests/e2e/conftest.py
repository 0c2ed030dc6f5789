"""Helpers of the end-to-end tests: the program as a user runs it, and what a lab leaves behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


class Gsta:
    """Runs ``gsta`` in a workspace of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "GSTA_HOME": str(home)}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "gsta", *map(str, arguments)]

    def __call__(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def gsta(tmp_path_factory: pytest.TempPathFactory) -> Gsta:
    return Gsta(tmp_path_factory.mktemp("home"))


def _lines(*command: str) -> set[str]:
    if shutil.which(command[0]) is None:
        return set()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(done.stdout.split("\n")) - {""}


def _processes_elsewhere() -> set[str]:
    """Processes in another network than ours: whatever is left of a lab would be."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if command and str((process / "ns/net").readlink()) not in _FOREIGN_NETWORKS:
                found.add(f"{process.name} {command[:120]}")
    return found


def _networks_in_use() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(str((process / "ns/net").readlink()))
    return found


_FOREIGN: dict[str, set[str]] = {}
_FOREIGN_NETWORKS: set[str] = set()


@pytest.fixture(scope="session", autouse=True)
def _foreign() -> None:
    """What ran on this machine before the tests is not theirs to judge."""
    _FOREIGN_NETWORKS.update(_networks_in_use())
    _FOREIGN.update(_everything())


def lab_traces() -> dict[str, set[str]]:
    """What labs of these tests have on this machine now, by kind."""
    return {kind: found - _FOREIGN.get(kind, set()) for kind, found in _everything().items()}


def _everything() -> dict[str, set[str]]:
    cgroups = {
        str(path)
        for root in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/"))
        for path in root.glob("gsta*")
    }
    return {
        "namespaces": {line for line in _lines("ip", "netns", "list") if "gsta" in line},
        "links": {line for line in _lines("ip", "-brief", "link") if "gsta" in line},
        "processes": _processes_elsewhere(),
        "cgroups": cgroups,
        "containers": _lines("docker", "ps", "-aq", "--filter", "label=gsta.lab"),
        "networks": _lines("docker", "network", "ls", "-q", "--filter", "label=gsta.lab"),
    }
