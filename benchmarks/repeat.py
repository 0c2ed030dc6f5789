"""The same topology with the same seed twice: what is equal, and how far volumes are apart.

    python -m benchmarks.repeat                     # two minutes of the office
    python -m benchmarks.repeat --topology isp-access --seconds 60

Needs root and the packages of ``gsta topology packages office``. Plans are compiled in processes
of their own, with hashes of their own, and must be equal byte for byte; so must be what the
journals say of each session. With ``--folder`` the runs stay there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.labruns import labelled, run_lab
from benchmarks.timing import publish
from launcher.records import ActivityRecord
from launcher.rundir import read_journal

PLAN = """
import sys
from launcher.compile import compile_run
from gsta.labs import shortened
from topologies import load_topology
print(compile_run(shortened(load_topology(sys.argv[1]), float(sys.argv[2])), seed=int(sys.argv[3])))
"""
DRAWN = {"id", "name", "kind", "variant", "params", "user", "host", "addresses", "owner", "peers"}
MEASURES = ("bytes", "packets", "flows")


class Volume(NamedTuple):
    """Of some flows, both ways."""

    bytes: int = 0
    packets: int = 0
    flows: int = 0


def main() -> None:
    """Run twice, compare, publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--topology", default="office")
    options.add_argument("--seconds", default="120")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--folder", type=Path, help="where to keep the runs")
    asked = options.parse_args()
    plan = [_plan(asked.topology, asked.seconds, asked.seed, hashes) for hashes in ("1", "2")]
    if plan[0] != plan[1]:
        sys.exit("the same seed gave two plans")
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = [folder / name for name in ("one", "two")]
        loads = []
        for run in runs:
            loads.append(f"{os.getloadavg()[0]:.1f}")
            run_lab(asked.topology, run, seed=asked.seed, options=["--seconds", asked.seconds])
        sessions = [_sessions(run) for run in runs]
        if _drawn(sessions[0]) != _drawn(sessions[1]):
            sys.exit("the same seed gave sessions with other parameters")
        volumes = [_volumes(run) for run in runs]
    about = f"{asked.seconds} s, {len(sessions[0])} sessions, load before {' and '.join(loads)}"
    title = f"The same seed twice: {asked.topology}, {about}, plans of {len(plan[0]):,} bytes equal"
    columns = ["flows of", *(f"{m}, {which}" for m in MEASURES for which in ("one", "two", "%"))]
    publish(title, "python -m benchmarks.repeat", columns, list(_rows(volumes)))


def _plan(topology: str, seconds: str, seed: int, hashes: str) -> bytes:
    """Everything that will happen, as text."""
    command = [sys.executable, "-c", PLAN, topology, seconds, str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    return subprocess.run(command, capture_output=True, check=True, env=environment).stdout


def _sessions(run: Path) -> dict[str, ActivityRecord]:
    return {r.id: r for r in read_journal(run) if isinstance(r, ActivityRecord)}


def _drawn(sessions: Mapping[str, ActivityRecord]) -> dict[str, str]:
    """What the seed decides of each session."""
    return {name: sessions[name].model_dump_json(include=DRAWN) for name in sorted(sessions)}


def _volumes(run: Path) -> dict[str, Volume]:
    """By kind, as the kernel's evidence has it; of all flows, those of nobody too, as ``all``."""
    flows = labelled(run)
    volumes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    columns = [f"{side}_{what}" for side in ("c2s", "s2c") for what in ("ip_bytes", "packets")]
    kinds = flows.report.labels["oracle"].to_pylist()
    for kind, row in zip(kinds, flows.table.select(columns).to_pylist(), strict=True):
        for name in ("all", kind or "no program"):
            volumes[name]["bytes"] += row["c2s_ip_bytes"] + row["s2c_ip_bytes"]
            volumes[name]["packets"] += row["c2s_packets"] + row["s2c_packets"]
            volumes[name]["flows"] += 1
    return {name: Volume(**counted) for name, counted in volumes.items()}


def _rows(volumes: list[dict[str, Volume]]) -> Iterator[list[object]]:
    one, two = volumes
    names = sorted({*one, *two} - {"all"}, key=lambda name: -one.get(name, Volume()).bytes)
    for name in ["all", *names]:
        row: list[object] = [name]
        for first, second in zip(one.get(name, Volume()), two.get(name, Volume()), strict=True):
            row += [first, second, f"{100 * (second / first - 1):+.1f}" if first else "-"]
        yield row


if __name__ == "__main__":
    main()
