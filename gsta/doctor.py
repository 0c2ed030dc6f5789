"""What this machine can do for G-STA, and the remedy for what it cannot."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from gsta.labs import docker_problem
from launcher import cgroups, impair, rootless
from launcher.bird import bird_path
from launcher.capture import tcpdump_path
from launcher.machine import machine_facts
from topologies import Limits
from topologies.errors import GstaError, MachineError

Verdict = Literal["yes", "partly", "no"]
MIN_MEMORY_MB: Final = 3_500
MIN_DISK_GB: Final = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the machine can or cannot do."""

    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Try everything, one finding each; nothing is left changed."""
    for check in _CHECKS:
        yield check()


def can_run_a_lab(findings: list[Finding]) -> bool:
    """Whether at least one back end works, and captures with it."""
    verdicts = {finding.what: finding.verdict for finding in findings}
    return verdicts["capture"] == "yes" and "yes" in {
        verdicts["docker lab"],
        verdicts["netns lab"],
    }


def _python() -> Finding:
    # An older one would not have come so far: the package refuses to install there.
    return Finding("python", "yes", platform.python_version())


def _size() -> Finding:
    facts = machine_facts()
    disk_gb = shutil.disk_usage(Path.cwd()).free >> 30
    detail = f"{facts['cpus']} cores, {facts['memory_mb']} MB of memory, {disk_gb} GB free here"
    if int(facts["memory_mb"]) < MIN_MEMORY_MB or disk_gb < MIN_DISK_GB:
        remedy = f"the quickstart wants {MIN_MEMORY_MB} MB of memory and {MIN_DISK_GB} GB of disk"
        return Finding("size", "partly", detail, remedy)
    return Finding("size", "yes", detail)


def _capture() -> Finding:
    try:
        return Finding("capture", "yes", tcpdump_path())
    except MachineError as error:
        return Finding("capture", "no", error.what, error.remedy)


def _netns() -> Finding:
    if os.geteuid() == 0:
        return Finding("netns lab", "yes", "network namespaces, as root")
    if problem := rootless.rootless_problem():
        return Finding("netns lab", "no", "network namespaces as this user", problem)
    return Finding("netns lab", "yes", "network namespaces in a user namespace")


def _docker() -> Finding:
    problem = docker_problem()
    if problem is None:
        how = "wired by the launcher" if os.geteuid() == 0 else "on Docker's own networks"
        return Finding("docker lab", "yes", f"an engine answers; hosts {how}")
    return Finding("docker lab", "no", problem.what, problem.remedy)


def _impairments() -> Finding:
    try:
        missing = [name for name in ("tbf", "netem") if not impair.kernel_has(name)]
    except (PermissionError, GstaError) as error:
        return Finding("impairments", "partly", f"not tried: {error}", "run gsta doctor as root")
    if missing:
        modules = " ".join(f"sch_{name}" for name in missing)
        detail = f"by a process of ours: the kernel has no {' and no '.join(missing)}"
        return Finding("impairments", "yes", detail, f"faster: modprobe -a {modules}")
    return Finding("impairments", "yes", "by the kernel: tbf and netem")


def _routing() -> Finding:
    try:
        return Finding("routing", "yes", bird_path())
    except MachineError as error:
        remedy = f"for topologies with autonomous systems: {error.remedy}"
        return Finding("routing", "partly", error.what, remedy)


def _limits() -> Finding:
    try:
        notes = cgroups.create(_PROBE, {"probe": Limits()}).notes
    finally:
        cgroups.remove(_PROBE)
    if notes:
        remedy = "run as root, with control groups writable"
        return Finding("limits", "partly", "; ".join(notes), remedy)
    return Finding("limits", "yes", "processor, memory and processes per host")


def _extras() -> Finding:
    missing = [extra for extra, module in _EXTRAS.items() if find_spec(module) is None]
    if missing:
        remedy = f'when you need them: pip install "gsta[{",".join(missing)}]"'
        return Finding("extras", "partly", f"not installed: {', '.join(missing)}", remedy)
    return Finding("extras", "yes", ", ".join(_EXTRAS))


_PROBE: Final = "doctor"
_EXTRAS: Final = {"deep": "keras", "console": "nicegui"}
_CHECKS: Final[tuple[Callable[[], Finding], ...]] = (
    _python,
    _size,
    _capture,
    _netns,
    _docker,
    _impairments,
    _routing,
    _limits,
    _extras,
)
