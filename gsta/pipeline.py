"""The main job: from a spec to a registered analyser, stage after stage.

Every stage reads the files of those before it and writes its own below one build folder::

    runs/<build>-train, runs/<build>-test   launcher (of several, <build>-<topology>-train)
    flows/<run>.parquet                     flowmeter
    dataset/                                tagger, audit (attempt-1/, … with --until-clean)
    search/trials.jsonl                     builder: each trial as it ends
    stages.json                             which stage wrote what, and what it was made from
    report.html                             how good it is, and why
    build.json                              what came of it: scores, times, model version
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import builder
from builder.report import REPORT_FILE, render_report
from gsta.attempts import until_clean
from gsta.generate import Generated, Labs, generate
from gsta.order import Order
from gsta.reporting import Reporter
from gsta.stages import trial_journal
from gsta.training import search_progress
from sta_registry import Registered, Registry, Store
from topologies.errors import GateError
from topologies.files import sha256_file, write_json, write_text


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
    labs: Labs,
    runner: builder.Runner,
    reporter: Reporter,
    threads: int = 1,
    again: int = 0,
) -> Outcome:
    """Run every stage.

    Parameters
    ----------
    again
        How often to change what the audit proposes, and to generate anew, while it blocks.

    Raises
    ------
    GateError
        The audit did not release the dataset.
    GstaError
        A stage failed; what the stages before it wrote stays in ``folder``.
    """
    order, dataset = _released(order, folder, labs, again, reporter)
    with reporter.stage("search") as progress:
        result = builder.build(
            dataset,
            order.build_config(threads=threads),
            runner=runner,
            progress=search_progress(progress),
            journal=lambda key: trial_journal(folder, key, reporter, labs.builds),
        )
    write_text(folder / REPORT_FILE, render_report(result, name=order.spec.model.model_name))
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


def _released(
    order: Order, folder: Path, labs: Labs, again: int, reporter: Reporter
) -> tuple[Order, Path]:
    """A dataset that the audit releases, and the order that it is of."""
    if again:

        def attempt(order: Order, place: Path) -> Generated:
            name = f"{folder.name}-{place.name}"
            return generate(order, place, labs, reporter, name=name)

        order, made = until_clean(order, folder, again, attempt, reporter)
        return order, made.dataset
    made = generate(order, folder, labs, reporter)
    if not made.report.released:
        raise GateError(
            f"the audit did not release {made.dataset}; {made.dataset / 'card.md'} says why. Mend "
            "the spec, let --until-clean do so, or accept a check by name and reason under "
            "accept_checks"
        )
    return order, made.dataset


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
