"""What the benchmarks share: processes on chosen cores, medians, peak memory, a results page."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Run:
    """One process: how long it took, its processor time, its most memory, what it printed."""

    seconds: float
    cpu_s: float
    peak_mb: float
    output: str


def run(
    command: Sequence[str], *, cores: int = 1, environment: Mapping[str, str] | None = None,
    stdin: int | None = None,
) -> Run:  # fmt: skip
    """Run a command on the first ``cores`` cores that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    began = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, allowed)), *command],
        stdin=stdin,
        stdout=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    output = process.stdout.read().decode() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}")
    return Run(seconds, _cpu_s(usage), usage.ru_maxrss / 1024, output)


def _cpu_s(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def median(runs: Sequence[Run]) -> Run:
    """The run of median duration."""
    middle = statistics.median_low([each.seconds for each in runs])
    return next(each for each in runs if each.seconds == middle)


def machine() -> str:
    """The kind of machine, without its name."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine(),
    )  # fmt: skip
    return f"{len(os.sched_getaffinity(0))} cores, {model}, Python {platform.python_version()}"


def publish(
    title: str, command: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    """Append a table to the results page, and print it."""
    lines = [f"\n## {title}\n", f"`{command}` on {machine()}\n"]
    lines.append("| " + " | ".join(columns) + " |")
    lines.append("| --- |" + " --: |" * (len(columns) - 1))
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    text = "\n".join(lines) + "\n"
    print(text)
    head = "" if RESULTS.exists() else "# Benchmarks\n\nNewest at the end; how: see each command.\n"
    with RESULTS.open("a") as stream:
        stream.write(head + text)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
