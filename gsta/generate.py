"""The first half of the main job: from a spec to a dataset with its audit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import audit
import flowmeter
import tagger
from gsta.experiments import Experiment, plan_experiments
from gsta.keys import audit_key, lab_key, meter_key, tag_key
from gsta.labs import run_lab, run_summary
from gsta.order import Order
from gsta.reporting import Reporter
from gsta.stages import Stages
from launcher.run import RunOptions


@dataclass(frozen=True, slots=True)
class Labs:
    """How labs are run; without ``keep_packets`` they are metered meanwhile.

    What a build in a folder of ``builds`` did is not done again; None: every stage is done.
    """

    backend: str
    options: RunOptions = field(default_factory=RunOptions)
    keep_packets: bool = True
    builds: Path | None = None


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
    stages = Stages(folder, reporter, labs.builds)
    experiments = metered_runs(order, folder, labs, stages, reporter, name=name)
    return _dataset(order, experiments, folder / "dataset", stages, reporter)


def metered_runs(
    order: Order,
    folder: Path,
    labs: Labs,
    stages: Stages,
    reporter: Reporter,
    *,
    name: str | None = None,
) -> tuple[Experiment, ...]:
    """Run the labs of an order and meter them."""
    experiments = tuple(
        _run(one, labs, stages, reporter) for one in plan_experiments(order, folder, name=name)
    )
    if labs.keep_packets:
        _meter(experiments, stages, reporter)
    return experiments


def _run(one: Experiment, labs: Labs, stages: Stages, reporter: Reporter) -> Experiment:
    """Run a lab, or take over an earlier run, which keeps its name."""
    stage, key = f"lab {one.title}", lab_key(one, labs)
    if kept := stages.recall(stage, key):
        flows = one.flows.with_name(f"{kept[0].name}.parquet")
        return replace(one, run_dir=kept[0], flows=flows)
    with reporter.stage(stage) as progress:
        run_lab(
            one.topology,
            seed=one.seed,
            out=one.run_dir,
            backend=labs.backend,
            progress=progress,
            options=labs.options,
            flows=None if labs.keep_packets else one.flows,
        )
    stages.record(stage, key, one.run_dir, *([] if labs.keep_packets else [one.flows]))
    reporter.say(run_summary(one.run_dir))
    return one


def _meter(experiments: tuple[Experiment, ...], stages: Stages, reporter: Reporter) -> None:
    keys = {f"meter {one.title}": meter_key(one) for one in experiments}
    todo = [
        (stage, key, one)
        for (stage, key), one in zip(keys.items(), experiments, strict=True)
        if not stages.recall(stage, key)
    ]
    if not todo:
        return
    with reporter.stage("meter") as progress:
        for done, (stage, key, one) in enumerate(todo):
            progress(f"packets of {one.run_dir.name}", done, len(todo))
            flowmeter.meter_run(one.run_dir, one.flows)
            stages.record(stage, key, one.flows)


def _dataset(
    order: Order,
    experiments: tuple[Experiment, ...],
    dataset: Path,
    stages: Stages,
    reporter: Reporter,
) -> Generated:
    spec, key = order.spec.model, tag_key(order, experiments)
    if not stages.recall("tag", key):
        with reporter.stage("tag") as progress:
            labels = tagger.write_dataset(
                dataset,
                spec.name,
                [one.tagged for one in experiments],
                rules=Path(order.rules.source.file),
                progress=progress,
            )
        stages.record("tag", key, dataset)
        reporter.say(labels.summary())
    key = audit_key(order, dataset)
    if stages.recall("audit", key):
        report = audit.AuditReport.model_validate_json((dataset / "audit.json").read_bytes())
    else:
        with reporter.stage("audit"):
            report = audit.audit_dataset(dataset, accept=spec.accept_checks, allow=spec.allow)
        stages.record("audit", key, dataset)
    reporter.say(report.summary())
    return Generated(dataset, report)
