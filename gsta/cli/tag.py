"""``gsta tag``: labels for the flows of a run, or of a capture made elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

import tagger
from flowmeter.runs import meter_capture
from gsta.cli.common import format_option, print_records, reporter
from topologies.files import replacing

PATH = click.Path(path_type=Path)
SECONDS = click.FloatRange(min=0)
TOLERANCES = tagger.Tolerances()


@click.command()
@click.argument("source", metavar="RUN|CAPTURE", type=PATH)
@click.argument("flows", type=PATH, required=False)
@click.option(
    "--journal",
    type=PATH,
    help="Label a capture made elsewhere (or its flow table) by this journal, JSON Lines.",
)
@click.option("--rules", help="Rule file, or the name of one that ships.")
@click.option(
    "--out",
    type=PATH,
    help="Dataset directory to write; all of the run is its train split. With --journal or "
    "--events: a file, .csv or .parquet.",
)
@click.option(
    "--events", is_flag=True, help="Label the events of the run's application logs, not its flows."
)
@click.option("--explain", "flow_id", help="Tell why this flow has its label, and stop.")
@click.option(
    "--clock-tolerance",
    "clock_s",
    type=SECONDS,
    default=TOLERANCES.clock_ns / 1e9,
    show_default=True,
    help="Seconds that journal and capture may be apart.",
)
@click.option(
    "--linger",
    "linger_s",
    type=SECONDS,
    default=TOLERANCES.linger_ns / 1e9,
    show_default=True,
    help="Seconds that flows may outlive their activity.",
)
@format_option
def tag(
    source: Path,
    flows: Path | None,
    *,
    journal: Path | None,
    rules: str | None,
    out: Path | None,
    events: bool,
    flow_id: str | None,
    clock_s: float,
    linger_s: float,
    output_format: str,
) -> None:
    """Label flows by rules over a journal, and measure the labels.

    RUN is a run directory and FLOWS its flow table; with --journal a capture is enough.
    """
    asked = _Asked(
        rules, tagger.Tolerances(round(clock_s * 1e9), round(linger_s * 1e9)), out, flow_id
    )
    if (journal or events) and flows is not None:
        raise click.UsageError("--journal takes one CAPTURE or flow table, --events a RUN alone")
    if journal is not None:
        counts, said = _elsewhere(journal, source, asked)
    elif events:
        counts, said = _events(source, asked)
    elif flows is None:
        raise click.UsageError("give the flow table of the run, or --journal for a capture")
    else:
        counts, said = _run(source, flows, asked)
    if not counts:
        click.echo(said)
        return
    what = "events" if events else "flows"
    rows = [{"label": label, what: count} for label, count in counts.items()]
    print_records(rows, output_format, columns=("label", what))
    reporter().say(said)


class _Asked(NamedTuple):
    """How to label, where to, and which flow to explain instead."""

    rules: str | None
    tolerances: tagger.Tolerances
    out: Path | None
    flow_id: str | None


Said = tuple[dict[str, int], str]
"""Counts by label, none for an explanation, and words."""


def _elsewhere(journal: Path, capture: Path, asked: _Asked) -> Said:
    with _metered(capture) as table:
        made = tagger.read_elsewhere(journal, table, rules=asked.rules, tolerances=asked.tolerances)
        if asked.flow_id:
            return {}, made.explain(asked.flow_id).text()
        report = made.tag()
        if asked.out is not None:
            _write(made.labelled(report.labels), asked.out)
    return _counts(report), report.summary()


def _events(run: Path, asked: _Asked) -> Said:
    report, table = tagger.tag_events(run, rules=asked.rules, tolerances=asked.tolerances)
    if asked.out is not None:
        _write(table, asked.out)
    return _counts(report), f"run {report.run_id}: {len(table)} events of application logs"


def _run(run: Path, flows: Path, asked: _Asked) -> Said:
    rules, allowed = asked.rules, asked.tolerances
    if asked.flow_id:
        found = tagger.explain(run, flows, asked.flow_id, rules=rules, tolerances=allowed)
        return {}, found.text()
    if asked.out is None:
        report = tagger.tag_run(run, flows, rules=rules, tolerances=allowed)
        return _counts(report), report.summary()
    written = tagger.write_dataset(
        asked.out,
        asked.out.name,
        [tagger.TaggedRun(run, flows, "train")],
        rules=rules,
        tolerances=allowed,
    )
    made = written.contents
    undecided = {"unlabelled": made.unlabelled, "ambiguous": made.ambiguous}
    return made.label_counts | undecided, written.summary()


def _counts(report: tagger.TagReport) -> dict[str, int]:
    return report.counts | {"unlabelled": report.unlabelled, "ambiguous": report.ambiguous}


@contextmanager
def _metered(capture: Path) -> Iterator[Path]:
    """The flow table of a capture; one that is given is taken as it is."""
    if capture.suffix == ".parquet":
        yield capture
        return
    with tempfile.TemporaryDirectory(prefix="gsta-") as folder:
        table = Path(folder) / f"{capture.stem}.parquet"
        with reporter().stage("meter"):
            meter_capture((capture,), table)
        yield table


def _write(labels: pa.Table, out: Path) -> None:
    with replacing(out) as new:
        if out.suffix == ".csv":
            csv.write_csv(labels, new)
        else:
            pq.write_table(labels, new, compression="zstd")
    reporter().say(f"labels in {out}")
