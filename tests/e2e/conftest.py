"""Helpers of the end-to-end tests: the program as a user runs it, and what a lab leaves behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.labs import live_labs


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


def _network(process: Path | str) -> str:
    return str((Path("/proc") / process / "ns/net").readlink())


def _processes_elsewhere(others: set[str]) -> set[str]:
    """Processes in another network than ours and others': whatever is left of a lab would be."""
    found = set()
    known = _FOREIGN_NETWORKS | others
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if command and _network(process) not in known:
                found.add(f"{process.name} {command[:120]}")
    return found


def _networks_in_use() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(_network(process))
    return found


def _networks_of(labs: set[str]) -> set[str]:
    """Network namespaces of labs, those of their containers included."""
    found = set()
    for lab in labs:
        for path in Path("/run/netns").glob(f"gsta-{lab}-*"):
            with contextlib.suppress(OSError):
                found.add(f"net:[{path.stat().st_ino}]")
        for container in _lines("docker", "ps", "-q", "--filter", f"label=gsta.lab={lab}"):
            for pid in _lines("docker", "inspect", "-f", "{{.State.Pid}}", container):
                with contextlib.suppress(OSError):
                    found.add(_network(pid))
    return found


_FOREIGN: dict[str, set[str]] = {}
_FOREIGN_NETWORKS: set[str] = set()


@pytest.fixture(scope="session", autouse=True)
def _foreign() -> None:
    """What ran on this machine before the tests is not theirs to judge."""
    _FOREIGN_NETWORKS.update(_networks_in_use())
    _FOREIGN.update(_everything(set()))


def lab_traces(run: Path | None = None) -> dict[str, set[str]]:
    """What labs have on this machine now, by kind: that of ``run``, and all that are dead.

    Labs that somebody else runs meanwhile are not the tests' to judge.
    """
    others = {lab.id for lab in live_labs() if run is None or lab.run_dir != str(run.resolve())}
    found = _everything(others)
    return {
        kind: {
            line
            for line in lines - _FOREIGN.get(kind, set())
            if not any(other in line for other in others)
        }
        for kind, lines in found.items()
    }


def _everything(others: set[str]) -> dict[str, set[str]]:
    cgroups = {
        str(path)
        for root in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/"))
        for path in root.glob("gsta*")
    }
    labelled = ("--filter", "label=gsta.lab", "--format", '{{.ID}} {{.Label "gsta.lab"}}')
    return {
        "namespaces": {line for line in _lines("ip", "netns", "list") if "gsta" in line},
        "links": {line for line in _lines("ip", "-brief", "link") if "gsta" in line},
        "processes": _processes_elsewhere(_networks_of(others)),
        "cgroups": cgroups,
        "containers": _lines("docker", "ps", "-a", *labelled),
        "networks": _lines("docker", "network", "ls", *labelled),
    }
