"""``gsta tag``, ``audit``: the stages between the lab and the model."""

from __future__ import annotations

from pathlib import Path

import click

import audit as auditing
import tagger
from gsta.cli.common import format_option, print_records, reporter
from topologies.errors import GateError

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.argument("flows", type=PATH)
@click.option("--rules", help="Rule file, or the name of one that ships.")
@click.option(
    "--out", type=PATH, help="Dataset directory to write; all of the run is its train split."
)
@click.option("--explain", "flow_id", help="Tell why this flow has its label, and stop.")
@format_option
def tag(
    run: Path,
    flows: Path,
    *,
    rules: str | None,
    out: Path | None,
    flow_id: str | None,
    output_format: str,
) -> None:
    """Label the FLOWS of a RUN by rules over its journal, and measure the labels."""
    if flow_id:
        click.echo(tagger.explain(run, flows, flow_id, rules=rules).text())
        return
    if out is None:
        report = tagger.tag_run(run, flows, rules=rules)
        counts = report.counts | {"unlabelled": report.unlabelled, "ambiguous": report.ambiguous}
        summary = report.summary()
    else:
        written = tagger.write_dataset(
            out, out.name, [tagger.TaggedRun(run, flows, "train")], rules=rules
        )
        made = written.contents
        counts = made.label_counts | {"unlabelled": made.unlabelled, "ambiguous": made.ambiguous}
        summary = written.summary()
    print_records(
        [{"label": label, "flows": count} for label, count in counts.items()],
        output_format,
        columns=("label", "flows"),
    )
    reporter().say(summary)


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
