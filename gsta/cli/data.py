"""``gsta audit`` and ``dataset``: the stages between labels and the model."""

from __future__ import annotations

import json
from pathlib import Path

import click

import audit as auditing
import tagger
from gsta.cli.common import format_option, print_records, reporter
from topologies.errors import GateError, InputError

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("dataset", type=PATH)
@click.option("--accept", "checks", multiple=True, metavar="CHECK", help="Let this check fail …")
@click.option("--because", help="… for this reason, which the card shows.")
@format_option
def audit(
    dataset: Path, *, checks: tuple[str, ...], because: str | None, output_format: str
) -> None:
    """Check the health of a DATASET; one that fails is not released (exit code 4)."""
    if bool(checks) != bool(because):
        raise click.UsageError("--accept CHECK and --because REASON go together")
    with reporter().stage("audit"):
        report = auditing.audit_dataset(dataset, accept=dict.fromkeys(checks, because or ""))
    print_records(
        [
            {
                "check": r.id,
                "severity": r.severity,
                "verdict": r.verdict,
                "value": None if r.value is None else round(r.value, 4),
                "threshold": r.threshold,
                "what": r.title,
                "evidence": list(r.evidence),
            }
            for r in report.checks
        ],
        output_format,
        columns=("check", "severity", "verdict", "value", "threshold", "what"),
    )
    reporter().say(report.summary())
    if not report.released:
        raise GateError(f"{dataset} is not released; {dataset / 'card.md'} says why")


@click.group()
def dataset() -> None:
    """Datasets: show, verify."""


@dataset.command()
@click.argument("folder", type=PATH)
@click.option("--flow", "flow_id", help="Print this flow in full, with its label, as JSON.")
@format_option
def show(folder: Path, *, flow_id: str | None, output_format: str) -> None:
    """Tell what is in the dataset in FOLDER."""
    summary = tagger.load_summary(folder)
    if flow_id:
        click.echo(json.dumps(tagger.labelled_flow(folder, flow_id), indent=2))
        return
    print_records(
        [
            {"label": label, **{split: n.get(label, 0) for split, n in summary.classes.items()}}
            for label in summary.vocabulary
        ],
        output_format,
        columns=("label", *summary.classes),
    )
    reporter().say(
        f"{summary.flows} flows, {summary.unlabelled} unlabelled, {summary.ambiguous} ambiguous; "
        f"rules {summary.rules.name}; {len(summary.runs)} runs"
    )


@dataset.command()
@click.argument("folder", type=PATH)
def verify(folder: Path) -> None:
    """Check every digest of the dataset in FOLDER."""
    if problems := tagger.verify(folder):
        raise InputError(problems)
    reporter().say(f"{folder}: every file is as it was written")
