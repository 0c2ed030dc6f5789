"""``gsta audit``: whether a dataset may be released."""

from __future__ import annotations

from pathlib import Path

import click

import audit as auditing
from audit.patch import patch_of, write_patch
from gsta.cli.common import format_option, next_step, print_records, reporter
from topologies.errors import GateError
from topologies.files import write_json

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("dataset", type=PATH, required=False)
@click.option(
    "--flows",
    type=PATH,
    multiple=True,
    help="Instead of a dataset: a CSV or Parquet file with somebody else's flows; may be repeated.",
)
@click.option(
    "--test-flows", type=PATH, multiple=True, help="Those to judge on, if --flows are to train on."
)
@click.option("--label-column", help="Column of --flows with the labels.")
@click.option("--split-column", help="Column of --flows that says train or test.")
@click.option("--mapping", help="What the columns of --flows are: a file, or one that ships.")
@click.option("--thresholds", type=PATH, help="Another thresholds file; it names every check.")
@click.option("--accept", "checks", multiple=True, metavar="CHECK", help="Let this check fail …")
@click.option("--because", help="… for this reason, which the card shows.")
@click.option(
    "--suggest", is_flag=True, help="Propose changes of spec and topology, as a patch (YAML)."
)
@click.option(
    "--out", type=PATH, help="Write audit.json (of --flows) or the patch (--suggest) to this file."
)
@format_option
def audit(
    dataset: Path | None,
    *,
    flows: tuple[Path, ...],
    test_flows: tuple[Path, ...],
    label_column: str | None,
    split_column: str | None,
    mapping: str | None,
    thresholds: Path | None,
    checks: tuple[str, ...],
    because: str | None,
    suggest: bool,
    out: Path | None,
    output_format: str,
) -> None:
    """Check the health of a DATASET, or of any labelled flows; one that fails gets exit code 4.

    --mapping knows: cic-ids2017, cidds-001, nsl-kdd, unsw-nb15, unsw-nb15-full.
    """
    if bool(checks) != bool(because):
        raise click.UsageError("--accept CHECK and --because REASON go together")
    if (dataset is None) == (not flows):
        raise click.UsageError("give a DATASET, or --flows FILE")
    if dataset and (test_flows or label_column or split_column or mapping):
        raise click.UsageError("a DATASET says itself what its columns are; leave that to --flows")
    if dataset and out and not suggest:
        raise click.UsageError("the audit of a DATASET is in it; --out goes with --suggest")
    if flows and suggest:
        raise click.UsageError("of --flows nobody knows the topology; --suggest is for a DATASET")
    accept = dict.fromkeys(checks, because or "")
    with reporter().stage("audit") as progress:
        if dataset:
            report = auditing.audit_dataset(
                dataset, accept=accept, thresholds=thresholds, progress=progress
            )
        else:
            source = auditing.ForeignTable(flows, test_flows, label_column, split_column, mapping)
            report = auditing.audit_table(
                source, accept=accept, thresholds=thresholds, progress=progress
            )
    _print_audit(report, output_format, records=not suggest or out is not None)
    if suggest:
        _suggest(report, out)
    elif out:
        write_json(out, report.model_dump(mode="json"))
        reporter().say(f"all of it: {out}")
    if not report.released:
        why = dataset / "card.md" if dataset else out or "--format json"
        raise GateError(f"{dataset or report.dataset} is not released; {why} says why")


def _suggest(report: auditing.AuditReport, out: Path | None) -> None:
    """Write the patch to a file, or print it."""
    patch = patch_of(report)
    if out is None:
        click.echo(patch.text(), nl=False)
        return
    write_patch(out, patch)
    reporter().say(f"{len(patch.changes)} changes and {len(patch.choices)} to decide on: {out}")
    next_step(f"edit it, then gsta build SPEC --patch {out}")


def _print_audit(report: auditing.AuditReport, output_format: str, *, records: bool) -> None:
    if records:
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
    for note in report.notes:
        reporter().say(note)
    reporter().say(report.summary())
