"""``gsta analyse``: a registered analyser judges captures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq

import analyser
from flowmeter import meter
from gsta.cli.common import print_records, reporter
from gsta.workspace import Workspace
from sta_registry import Registry, Store, load_sta
from sta_registry.forecaster import FORECAST_FILE, load_forecaster
from topologies.errors import GateError, InputError, Problem


@click.command()
@click.option("--model", required=True, help="NAME@ALIAS, NAME/VERSION, NAME, or an STA's folder.")
@click.argument("captures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(analyser.FORMATS),
    default="table",
    show_default=True,
    help="How to write the verdicts.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; default is stdout.")
@click.option("--limit", type=click.IntRange(1), help="Show at most this many rows of a table.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Call a flow 'uncertain' whose best class is less likely than this.",
)
@click.option("--all-probabilities", is_flag=True, help="One more column for each class.")
@click.option("--fail-on-alert", is_flag=True, help="Exit with 4 if a flow is positive (binary).")
def analyse(
    model: str,
    captures: tuple[Path, ...],
    *,
    form: analyser.OutputFormat,
    out: Path | None,
    limit: int | None,
    threshold: float,
    all_probabilities: bool,
    fail_on_alert: bool,
) -> None:
    """Tell the class of every flow in CAPTURES, which are of one point in the network.

    An analyser that was trained on somebody else's flow table takes such tables instead. A
    forecaster says what comes after the last flow of captures, or of flow tables of `gsta meter`.
    """
    folder = Registry(Store.open(Workspace.default().home)).resolve(model)
    if (folder / FORECAST_FILE).is_file():
        _forecast(folder, captures, form, out=out)
        return
    sta = load_sta(folder)
    look = analyser.analyse if sta.manifest.table is None else analyser.analyse_tables
    with reporter().stage("analyse"):
        verdicts = look(captures, sta, threshold=threshold, all_probabilities=all_probabilities)
    width = max(shutil.get_terminal_size((analyser.WIDTH, 0)).columns, 80)
    destination = out or sys.stdout.buffer
    analyser.write_verdicts(verdicts.table, form, destination, limit=limit, width=width)
    reporter().say(analyser.render_summary(analyser.summarise(verdicts.table), width=width))
    rejected = sum(verdicts.rejects.values())
    source = "" if sta.manifest.table is None else f"{verdicts.flows} rows"
    reporter().say(
        source
        or f"{verdicts.flows} flows from {verdicts.packets} packets, {rejected} of them in no flow"
        + (f" ({_reasons(verdicts.rejects)})" if rejected else "")
    )
    if fail_on_alert and verdicts.alerts:
        raise GateError(f"{verdicts.alerts} flows raise an alert")


def _forecast(
    folder: Path, flows: tuple[Path, ...], form: analyser.OutputFormat, *, out: Path | None
) -> None:
    """What a forecaster says comes after captures or flow tables."""
    tables = [_flow_table(path) for path in flows if path.suffix == ".parquet"]
    if captures := [path for path in flows if path.suffix != ".parquet"]:
        tables.append(meter(captures).table)
    names = ", ".join(map(str, flows))
    both = pa.concat_tables(tables, promote_options="default")
    answer = load_forecaster(folder).predict(both, source=names)
    if form == "table" and out is None:
        print_records(answer.to_pylist(), "table", columns=answer.column_names)
        return
    destination = out or sys.stdout.buffer
    analyser.write_verdicts(answer, "csv" if form == "table" else form, destination)


def _flow_table(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid) as error:
        remedy = "give a flow table of 'gsta meter'"
        got = str(error).splitlines()[0]
        raise InputError(Problem(str(path), "", "a flow table", got, remedy)) from error


def _reasons(rejects: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in rejects.items() if count)
