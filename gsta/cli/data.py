"""``gsta audit``: whether a dataset may be released."""

from __future__ import annotations

from pathlib import Path

import click

import audit as auditing
import tagger
from gsta.cli.common import format_option, print_records, reporter
from topologies.errors import GateError

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
