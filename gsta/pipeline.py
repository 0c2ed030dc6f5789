"""The main job: from a spec to a registered analyser, stage after stage.

Every stage reads the files of those before it and writes its own below one build folder::

    runs/<build>-train, runs/<build>-test   launcher (<build>-<topology>-train, if there are several)
    flows/<run>.parquet                     flowmeter
    dataset/                                tagger, audit
    build.json                              what came of it: scores, times, model version
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import audit
import builder
import flowmeter
import tagger
from gsta.experiments import Experiment, plan_experiments
from gsta.labs import run_lab, run_summary
from gsta.order import Order
from gsta.reporting import Reporter
from launcher.run import Progress, RunOptions
from sta_registry import Registered, Registry, Store
from topologies.errors import GateError
from topologies.files import sha256_file, write_json


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a build came to."""

    folder: Path
    result: builder.BuildResult
    registered: Registered
    seconds: dict[str, float]


def build(
    order: Order,
    *,
    folder: Path,
    store: Store,
    backend: str,
    runner: builder.Runner,
    reporter: Reporter,
    threads: int = 1,
    options: RunOptions | None = None,
    keep_packets: bool = True,
) -> Outcome:
    """Run every stage.

    Parameters
    ----------
    options
        How the labs are run.
    keep_packets
        False: they are metered while the labs run.

    Raises
    ------
    GateError
        The audit did not release the dataset.
    GstaError
        A stage failed; what the stages before it wrote stays in ``folder``.
    """
    experiments = plan_experiments(order, folder)
    for one in experiments:
        with reporter.stage(f"lab {one.title}") as progress:
            run_lab(
                one.topology,
                seed=one.seed,
                out=one.run_dir,
                backend=backend,
                progress=progress,
                options=options,
                flows=None if keep_packets else one.flows,
            )
        reporter.say(run_summary(one.run_dir))
    if keep_packets:
        _meter(experiments, reporter)
    dataset = _dataset(order, experiments, folder, reporter)
    with reporter.stage("search") as progress:
        result = builder.build(
            dataset,
            order.build_config(threads=threads),
            runner=runner,
            progress=_search_progress(progress),
        )
    with reporter.stage("register"):
        registered = Registry(store).register(
            result,
            name=order.spec.model.model_name,
            acceptance=order.spec.model.acceptance,
            spec_sha256=sha256_file(Path(order.spec.source.file)),
        )
    outcome = Outcome(folder, result, registered, dict(reporter.seconds))
    write_json(folder / "build.json", _summary(outcome))
    return outcome


def _meter(experiments: tuple[Experiment, ...], reporter: Reporter) -> None:
    with reporter.stage("meter") as progress:
        for done, one in enumerate(experiments):
            progress(f"packets of {one.run_dir.name}", done, len(experiments))
            flowmeter.meter_run(one.run_dir, one.flows)


def _dataset(
    order: Order, experiments: tuple[Experiment, ...], folder: Path, reporter: Reporter
) -> Path:
    spec, dataset = order.spec.model, folder / "dataset"
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
        report = audit.audit_dataset(dataset, accept=spec.accept_checks)
    reporter.say(report.summary())
    if not report.released:
        raise GateError(
            f"the audit did not release {dataset}; {dataset / 'card.md'} says why. Mend the "
            "spec, or accept a check by name and reason under accept_checks"
        )
    return dataset


def _search_progress(progress: Progress) -> builder.Listener:
    def listen(step: builder.Progress) -> None:
        best = "" if step.best is None else f", best {step.best:.3f}"
        progress(f"{step.stage}{best}", step.done, step.total)

    return listen


def _summary(outcome: Outcome) -> dict[str, object]:
    registered = outcome.registered
    return {
        "model": registered.name,
        "version": registered.version,
        "champion": registered.champion,
        "acceptance": [str(check) for check in registered.checks],
        "seconds": outcome.seconds,
        "result": outcome.result.to_json(),
    }
