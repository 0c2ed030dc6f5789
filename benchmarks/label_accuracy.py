"""How many labels are right, and how many flows have none: topologies by two seeds each.

    python -m benchmarks.label_accuracy                       # runs eight labs, half an hour
    python -m benchmarks.label_accuracy --run FOLDER …        # of runs that are there

Needs root and the packages of ``gsta topology packages`` for each. Labels follow from the rules
`traffic-classes`; what is right is said by the kernel's evidence. On a machine with other work on
it captures drop packets and sessions starve: run it alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.labruns import run_lab
from benchmarks.timing import publish
from flowmeter import meter_run
from launcher.rundir import read_manifest
from tagger import Agreement
from tagger.tag import TagReport, tag_run

TOPOLOGIES = ("branch", "office", "isp-access", "datacentre")
SEEDS = (11, 12)
SECONDS = "180"
RULES = "traffic-classes"
COLUMNS = (
    "topology", "seed", "flows", "labels checked", "right", "95 % interval", "no single label"
)  # fmt: skip


def main() -> None:
    """Run what is not there, label, publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--run", type=Path, action="append", default=[], help="a run directory")
    options.add_argument("--seconds", default=SECONDS, help="how long each lab lasts")
    asked = options.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = asked.run or list(_labs(scratch, asked.seconds))
        reports = [_labelled(run, scratch) for run in runs]
        names = [(m.name, m.seed) for m in map(read_manifest, runs)]
    found = sorted(zip(names, reports, strict=True), key=lambda one: one[0])
    publish("Label accuracy", "python -m benchmarks.label_accuracy", COLUMNS, _rows(found))


def _labs(folder: Path, seconds: str) -> Iterator[Path]:
    for topology in TOPOLOGIES:
        for seed in SEEDS:
            out = folder / f"{topology}-{seed}"
            run_lab(topology, out, seed=seed, options=["--seconds", seconds])
            yield out


def _labelled(run: Path, scratch: Path) -> TagReport:
    flows = scratch / f"{run.name}.parquet"
    meter_run(run, flows)
    return tag_run(run, flows, rules=RULES)


def _rows(found: Sequence[tuple[tuple[str, int], TagReport]]) -> list[list[str]]:
    rows = [_row(name, str(seed), [report]) for (name, seed), report in found]
    rows += [
        _row(topology, "all", [report for (name, _), report in found if name == topology])
        for topology in dict.fromkeys(name for (name, _), _ in found)
    ]
    rows.append(_row("all", "", [report for _, report in found]))
    return rows


def _row(topology: str, seed: str, reports: Sequence[TagReport]) -> list[str]:
    flows = sum(report.flows for report in reports)
    undecided = sum(report.unlabelled + report.ambiguous for report in reports)
    overall = [report.quality.overall for report in reports]
    agreed = Agreement(
        checked=sum(one.checked for one in overall), agreed=sum(one.agreed for one in overall)
    )
    low, high = agreed.interval
    return [
        topology,
        seed,
        f"{flows:,}",
        f"{agreed.checked:,}",
        f"{agreed.agreed:,}",
        f"{100 * low:.2f}-{100 * high:.2f} %",
        f"{undecided} = {100 * undecided / flows:.2f} %",
    ]


if __name__ == "__main__":
    main()
