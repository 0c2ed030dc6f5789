"""``gsta build``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import builder
from audit.patch import read_patch
from builder.evaluation.records import FamilyScore
from gsta.cli.common import format_option, next_step, print_records, reporter
from gsta.cli.forecasting import print_forecast, require_champion
from gsta.cli.lab import as_run_options, backend_option, run_options
from gsta.derive import derive
from gsta.forecasting import build_forecast
from gsta.generate import Labs
from gsta.order import Order, load_spec
from gsta.pipeline import build as run_pipeline
from gsta.workspace import Workspace
from sta_registry import Registered, Store


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--serial", is_flag=True, help="Search in this process, without Ray.")
@click.option(
    "--ray-address", help="Ray cluster to search on; default is the spec's, else this machine."
)
@click.option("--fresh", is_flag=True, help="Do every stage, also those that are unchanged.")
@click.option("--no-pcap", is_flag=True, help="Meter while the labs run; keep no packets.")
@click.option(
    "--patch",
    type=click.Path(path_type=Path),
    help="Change spec and topologies first, as this file says (gsta audit --suggest).",
)
@click.option(
    "--until-clean",
    "again",
    type=click.IntRange(0, 20),
    default=0,
    metavar="N",
    help="If the audit blocks, change what it proposes and generate anew, up to N times.",
)
@run_options
@backend_option
@format_option
def build(
    spec: Path,
    *,
    patch: Path | None,
    again: int,
    backend: str,
    serial: bool,
    ray_address: str | None,
    no_pcap: bool,
    fresh: bool,
    output_format: str,
    **chosen: Any,
) -> None:
    """Build the analyser that SPEC asks for: lab, flows, labels, audit, search, registration.

    For a task of type forecast: lab, flows, series, search, registration.
    """
    order = load_spec(spec)
    changes = None if patch is None else read_patch(patch)
    workspace = Workspace.default()
    labs = Labs(
        backend,
        as_run_options(**chosen),
        keep_packets=not no_pcap,
        builds=None if fresh else workspace.builds,
    )
    progress = reporter()
    folder = workspace.new_build(order.spec.model.name)
    if changes is not None:
        order = derive(order, changes.model.changes, folder, patch=changes.source)
    runner = builder.SerialRunner() if serial else _ray(order, ray_address)
    store = Store.open(workspace.home)
    if order.spec.model.task.type == "forecast":
        if again:
            raise click.UsageError("a forecast needs no labels, so no audit: leave --until-clean")
        made = build_forecast(
            order, folder=folder, store=store, labs=labs, runner=runner, reporter=progress
        )
        print_forecast(made.result, output_format)
        _end(made.registered, folder, "FLOWS.parquet")
        return
    outcome = run_pipeline(
        order,
        folder=folder,
        store=store,
        labs=labs,
        again=again,
        runner=runner,
        reporter=progress,
    )
    print_result(outcome.result, output_format)
    _end(outcome.registered, folder, "CAPTURE.pcap")


def _end(registered: Registered, folder: Path, what: str) -> None:
    """Say where the results are, and what can be done with them."""
    progress = reporter()
    progress.say(f"results in {folder}; report.html shows them")
    require_champion(registered)
    next_step(f"gsta analyse --model {registered.name}@champion {what}")


def _ray(order: Order, address: str | None) -> builder.RayRunner:
    """The command line's cluster, else the spec's, else one on this machine."""
    asked = order.spec.model.search
    return builder.RayRunner(
        address=address or asked.ray_address,
        cpus_per_trial=asked.cpus_per_trial,
        gpus_per_trial=asked.gpus_per_trial,
    )


def print_result(result: builder.BuildResult, output_format: str) -> None:
    """The scores of each class on stdout, what was found on stderr."""
    test = result.test
    print_records(
        [
            {
                "class": score.label,
                "precision": f"{score.precision:.3f}",
                "recall": f"{score.recall:.3f}",
                "f1": f"{score.f1:.3f}",
                "flows": score.support,
            }
            for score in test.classes
        ],
        output_format,
        columns=("class", "precision", "recall", "f1", "flows"),
    )
    winner, say = result.winner, reporter().say
    say(
        f"{winner.family} (trial {winner.number} of {len(result.trials)}): macro-F1 "
        f"{test.f1_macro:.3f}{_between(result)}, accuracy {test.accuracy:.3f} on the {test.flows} "
        f"flows of the test run; {result.validation_score:.3f} in validation "
        f"({result.validation})"
    )
    if (unseen := result.unseen) is not None:
        say(
            f"macro-F1 {unseen.f1_macro:.3f} on {unseen.flows} flows of topologies that training "
            f"saw nothing of"
        )
    if result.findings is not None:
        say(_rivals(result.findings.families))
    say(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.timings.items()))
    say(_confusion(test.labels, test.confusion))


def _between(result: builder.BuildResult) -> str:
    if result.findings is None:
        return ""
    interval = result.findings.test.intervals["f1_macro"]
    return f" ({interval.low:.3f} to {interval.high:.3f})"


def _rivals(families: tuple[FamilyScore, ...]) -> str:
    """Every family as text, the best in validation first."""
    lines = [
        f"{one.family:<14}{one.f1_macro:>8.3f} ({one.interval.low:.3f} to {one.interval.high:.3f})"
        f"{one.validation_score:>12.3f}{one.tried:>8}"
        for one in families
    ]
    head = f"{'family':<14}{'macro-F1 on the test run':>25}{'validation':>12}{'trials':>8}"
    return "\n".join([head, *lines])


def _confusion(labels: tuple[str, ...], rows: tuple[tuple[int, ...], ...]) -> str:
    """The confusion matrix as text: truth down, answer across."""
    width = max(len(label) for label in labels) + 1
    head = " " * width + "".join(f"{label[:7]:>8}" for label in labels)
    lines = [
        f"{label:<{width}}" + "".join(f"{n:>8}" for n in row)
        for label, row in zip(labels, rows, strict=True)
    ]
    return "\n".join(["confusion matrix of the test run (truth down, answer across)", head, *lines])
