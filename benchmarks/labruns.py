"""What the benchmarks of whole runs share: a run and its cost, its journal, its labelled flows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from flowmeter import meter_run
from launcher import cgroups
from launcher.labs import live_labs
from tagger.tag import TagReport, tag_run

SAMPLE_S = 5.0
MB = 1 << 20


@dataclass
class Cost:
    """What a run took of the machine: its launcher, and all that ran for it."""

    seconds: float = 0.0
    launcher_cpu_s: float = 0.0
    lab_cpu_s: float = 0.0  # of hosts' programs, captures and links
    launcher_peak_mb: float = 0.0
    lab_peak_mb: float = 0.0  # of hosts' programs, each with its share of what it has in common
    most_processes: int = 0


def run_lab(topology: str, out: Path, *, seed: int, options: Sequence[str] = ()) -> Cost:
    """Run a topology once on namespaces, by the command line; what it cost."""
    cost, began = Cost(), time.perf_counter()
    command = [sys.executable, "-m", "gsta", "lab", "run", topology, "--backend", "netns"]
    command += ["--seed", str(seed), "--out", str(out), *options]
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not os.waitid(os.P_PID, launcher.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        with suppress(OSError):
            _sample(cost, launcher.pid)
        time.sleep(SAMPLE_S)
    _, status, usage = os.wait4(launcher.pid, 0)
    launcher.returncode = os.waitstatus_to_exitcode(status)
    if launcher.returncode:
        sys.exit(f"{' '.join(command)} failed with {launcher.returncode}")
    cost.seconds = time.perf_counter() - began
    cost.lab_cpu_s = usage.ru_utime + usage.ru_stime - cost.launcher_cpu_s
    return cost


def _sample(cost: Cost, pid: int) -> None:
    # Fields 14 and 15, counted from the process's name, which may have spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    cost.launcher_cpu_s = ticks / os.sysconf("SC_CLK_TCK")
    cost.launcher_peak_mb = _kib(Path(f"/proc/{pid}/status"), "VmHWM:") / 1024
    mine = [one for lab in live_labs() if lab.pid == pid for one in cgroups.processes(lab.id)]
    held = 0
    for one in mine:
        with suppress(OSError, StopIteration):  # it has just ended
            held += _kib(Path(f"/proc/{one}/smaps_rollup"), "Pss:")
    cost.lab_peak_mb = max(cost.lab_peak_mb, held / 1024)
    cost.most_processes = max(cost.most_processes, len(mine))


def _kib(file: Path, key: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


@dataclass(frozen=True)
class Flows:
    """The flow table of a run beside its labels, row by row, each flow once."""

    table: pa.Table
    report: TagReport


def labelled(run: Path) -> Flows:
    """Meter a run's captures beside it, and label the flows."""
    import pyarrow.parquet as pq

    file = run.with_name(f"{run.name}.parquet")
    meter_run(run, file)
    report = tag_run(run, file, rules="activities")
    return Flows(pq.read_table(file).filter(pa.array(report.kept)), report)
