"""The main job: from a spec to a registered analyser, stage after stage.

Every stage reads the files of those before it and writes its own below one build folder::

    runs/<build>-train, runs/<build>-test   launcher (<build>-<topology>-train, if several)
    flows/<run>.parquet                     flowmeter
    dataset/                                tagger, audit
    search/trials.jsonl                     builder: each trial as it ends
    stages.json                             which stage wrote what, and what it was made from
    build.json                              what came of it: scores, times, model version
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import audit
import builder
import flowmeter
import tagger
from builder.compilation import share_compilations
from builder.journal import search_key
from gsta.experiments import Experiment, plan_experiments
from gsta.keys import audit_key, lab_key, meter_key, tag_key
from gsta.labs import run_lab, run_summary
from gsta.order import Order
from gsta.reporting import Reporter
from gsta.stages import Stages
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
    unchanged: dict[str, str]  # stage -> the build that it was taken from


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
    fresh: bool = False,
) -> Outcome:
    """Run every stage.

    Parameters
    ----------
    options
        How the labs are run.
    keep_packets
        False: they are metered while the labs run.
    fresh
        Do every stage. Else one that an earlier build in the same folder did is not done again.

    Raises
    ------
    GateError
        The audit did not release the dataset.
    GstaError
        A stage failed; what the stages before it wrote stays in ``folder``.
    """
    stages, how = Stages(folder, reporter, fresh=fresh), options or RunOptions()
    experiments = tuple(
        _lab(one, stages, reporter, backend=backend, options=how, keep_packets=keep_packets)
        for one in plan_experiments(order, folder)
    )
    if keep_packets:
        _meter(experiments, stages, reporter)
    dataset = _dataset(order, experiments, folder, stages, reporter)
    config = order.build_config(threads=threads)
    share_compilations(folder.parent.parent / "cache" / "compiled")
    journal = stages.journal(search_key(sha256_file(dataset / "dataset.json"), config))
    with reporter.stage("search") as progress:
        result = builder.build(
            dataset, config, runner=runner, progress=_search_progress(progress), journal=journal
        )
    with reporter.stage("register"):
        registered = Registry(store).register(
            result,
            name=order.spec.model.model_name,
            acceptance=order.spec.model.acceptance,
            spec_sha256=sha256_file(Path(order.spec.source.file)),
        )
    outcome = Outcome(folder, result, registered, dict(reporter.seconds), stages.unchanged)
    write_json(folder / "build.json", _summary(outcome))
    return outcome


def _lab(
    one: Experiment,
    stages: Stages,
    reporter: Reporter,
    *,
    backend: str,
    options: RunOptions,
    keep_packets: bool,
) -> Experiment:
    """Run a lab, or take over the run of an earlier build, which keeps its name."""
    stage = f"lab {one.title}"
    key = lab_key(one, backend, options, keep_packets=keep_packets)
    if kept := stages.recall(stage, key):
        flows = one.flows.with_name(f"{kept[0].name}.parquet")
        return replace(one, run_dir=kept[0], flows=flows)
    with reporter.stage(stage) as progress:
        run_lab(
            one.topology,
            seed=one.seed,
            out=one.run_dir,
            backend=backend,
            progress=progress,
            options=options,
            flows=None if keep_packets else one.flows,
        )
    stages.record(stage, key, one.run_dir, *([] if keep_packets else [one.flows]))
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
    folder: Path,
    stages: Stages,
    reporter: Reporter,
) -> Path:
    spec, dataset = order.spec.model, folder / "dataset"
    key = tag_key(order, experiments)
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
            report = audit.audit_dataset(dataset, accept=spec.accept_checks)
        stages.record("audit", key, dataset)
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
        "unchanged": outcome.unchanged,
        "result": outcome.result.to_json(),
    }
