"""The first half of the main job: from a spec to a dataset with its audit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import audit
import flowmeter
import tagger
from gsta.experiments import Experiment, plan_experiments
from gsta.labs import run_lab, run_summary
from gsta.order import Order
from gsta.reporting import Reporter
from launcher.run import RunOptions


@dataclass(frozen=True, slots=True)
class Labs:
    """How labs are run; without ``keep_packets`` they are metered meanwhile."""

    backend: str
    options: RunOptions | None = None
    keep_packets: bool = True


@dataclass(frozen=True, slots=True)
class Generated:
    """A dataset and what its audit says."""

    dataset: Path
    report: audit.AuditReport


def generate(
    order: Order, folder: Path, labs: Labs, reporter: Reporter, *, name: str | None = None
) -> Generated:
    """Run the labs of an order, meter, label and audit; everything goes below ``folder``.

    ``name`` is that of the build in the names of its runs; None is the folder's.
    """
    experiments = plan_experiments(order, folder, name=name)
    for one in experiments:
        with reporter.stage(f"lab {one.title}") as progress:
            run_lab(
                one.topology,
                seed=one.seed,
                out=one.run_dir,
                backend=labs.backend,
                progress=progress,
                options=labs.options,
                flows=None if labs.keep_packets else one.flows,
            )
        reporter.say(run_summary(one.run_dir))
    if labs.keep_packets:
        _meter(experiments, reporter)
    return _dataset(order, experiments, folder / "dataset", reporter)


def _meter(experiments: tuple[Experiment, ...], reporter: Reporter) -> None:
    with reporter.stage("meter") as progress:
        for done, one in enumerate(experiments):
            progress(f"packets of {one.run_dir.name}", done, len(experiments))
            flowmeter.meter_run(one.run_dir, one.flows)


def _dataset(
    order: Order, experiments: Iterable[Experiment], dataset: Path, reporter: Reporter
) -> Generated:
    spec = order.spec.model
    with reporter.stage("tag") as progress:
        labels = tagger.write_dataset(
            dataset,
            spec.name,
            [one.tagged for one in experiments],
            rules=Path(order.rules.source.file),
            progress=progress,
        )
    reporter.say(labels.summary())
    with reporter.stage("audit"):
        report = audit.audit_dataset(dataset, accept=spec.accept_checks, allow=spec.allow)
    reporter.say(report.summary())
    return Generated(dataset, report)
