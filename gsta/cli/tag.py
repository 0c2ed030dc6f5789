"""``gsta tag``: labels for the flows of a run, or of a capture made elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    help="Dataset directory to write; all of the run is its train split. With --journal: a file, "
    ".csv or .parquet.",
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
    flow_id: str | None,
    clock_s: float,
    linger_s: float,
    output_format: str,
) -> None:
    """Label flows by rules over a journal, and measure the labels.

    RUN is a run directory and FLOWS its flow table; with --journal a capture is enough.
    """
    allowed = tagger.Tolerances(round(clock_s * 1e9), round(linger_s * 1e9))
    if journal is not None:
        if flows is not None:
            raise click.UsageError("--journal takes one CAPTURE or flow table")
        with _metered(source) as table:
            made = tagger.read_elsewhere(journal, table, rules=rules, tolerances=allowed)
            if flow_id:
                click.echo(made.explain(flow_id).text())
                return
            report = made.tag()
            if out is not None:
                _write(made.labelled(report.labels), out)
        _print(_counts(report), output_format)
        reporter().say(report.summary())
        return
    if flows is None:
        raise click.UsageError("give the flow table of the run, or --journal for a capture")
    if flow_id:
        found = tagger.explain(source, flows, flow_id, rules=rules, tolerances=allowed)
        click.echo(found.text())
    elif out is None:
        report = tagger.tag_run(source, flows, rules=rules, tolerances=allowed)
        _print(_counts(report), output_format)
        reporter().say(report.summary())
    else:
        written = tagger.write_dataset(
            out,
            out.name,
            [tagger.TaggedRun(source, flows, "train")],
            rules=rules,
            tolerances=allowed,
        )
        kept = written.contents
        open_ones = {"unlabelled": kept.unlabelled, "ambiguous": kept.ambiguous}
        _print(kept.label_counts | open_ones, output_format)
        reporter().say(written.summary())


def _counts(report: tagger.TagReport) -> dict[str, int]:
    return report.counts | {"unlabelled": report.unlabelled, "ambiguous": report.ambiguous}


def _print(counts: dict[str, int], output_format: str) -> None:
    rows = [{"label": label, "flows": count} for label, count in counts.items()]
    print_records(rows, output_format, columns=("label", "flows"))


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
