"""``gsta dataset``: look at datasets, part and join them, and hand them on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

import click

import audit as auditing
import tagger
from gsta.cli.common import format_option, next_step, print_records, reporter
from tagger.anonymise import random_key, read_key
from tagger.export import FORMATS, Format, Hidden, Privacy, export_dataset
from tagger.summary import SPLIT_ORDER, DatasetSummary, Grouping, Split
from topologies.errors import InputError

PATH = click.Path(path_type=Path)
Value = TypeVar("Value")


@click.group()
def dataset() -> None:
    """Datasets: show, verify, split, merge, export."""


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
    _print_counts(summary, output_format)
    reporter().say(
        f"{summary.flows} flows, {summary.unlabelled} unlabelled, {summary.ambiguous} ambiguous; "
        f"rules {summary.rules.name}; {len(summary.runs)} runs; {_parted(summary)}"
    )


@dataset.command()
@click.argument("folder", type=PATH)
def verify(folder: Path) -> None:
    """Check every digest of the dataset in FOLDER, its audit and its card."""
    if problems := (*tagger.verify(folder), *auditing.verify_audit(folder)):
        raise InputError(problems)
    reporter().say(f"{folder}: every file is as it was written")


def _pairs(
    convert: Callable[[str], Value], example: str
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, Value]]:
    """A click callback that reads NAME=VALUE options."""

    def read(
        context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
    ) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for text in texts:
            name, _, value = text.rpartition("=")
            fault = click.BadParameter(f"'{text}': once, as in {example}", context, parameter)
            if not name or name in found:
                raise fault
            try:
                found[name] = convert(value)
            except ValueError:
                raise fault from None
        return found

    return read


def _split_name(text: str) -> Split:
    for split in SPLIT_ORDER:
        if split == text:
            return split
    raise ValueError(text)


@dataset.command()
@click.argument("folder", type=PATH)
@click.option("--by", type=click.Choice(get_args(Grouping)), required=True,
              help="What stays together. time: each run is cut into windows, in this order: "
              "train, validation, test.")  # fmt: skip
@click.option("--share", "shares", multiple=True, metavar="SPLIT=SHARE",
              callback=_pairs(float, "train=0.7"),
              help="Wanted share of train, validation or test; repeat it.")  # fmt: skip
@click.option("--put", "named", multiple=True, metavar="GROUP=SPLIT",
              callback=_pairs(_split_name, "office=train"),
              help="Split of this run, topology or topology/host; repeat it.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the order of dealing out.")
@click.option("--out", type=PATH, help="A new dataset; without it FOLDER gets the splits.")
@format_option
def split(
    folder: Path,
    *,
    by: Grouping,
    shares: dict[Split, float],
    named: dict[str, Split],
    seed: int,
    out: Path | None,
    output_format: str,
) -> None:
    """Part the flows of the dataset in FOLDER anew, by what belongs together, never by row."""
    if unknown := [name for name in shares if name not in SPLIT_ORDER]:
        raise click.BadParameter(f"'{unknown[0]}' is none of {', '.join(SPLIT_ORDER)}")
    plan = tagger.SplitPlan(by=by, shares=shares, named=named, seed=seed)
    with reporter().stage("split"):
        summary = tagger.split_dataset(folder, plan, out)
    _print_counts(summary, output_format)
    reporter().say(_parted(summary))
    next_step(f"gsta audit {out or folder}")


@dataset.command()
@click.argument("folders", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="The dataset to write.")
@format_option
def merge(folders: tuple[Path, ...], *, out: Path, output_format: str) -> None:
    """Join the datasets in FOLDERS; every run keeps its split."""
    with reporter().stage("merge"):
        summary = tagger.merge_datasets(folders, out, out.name)
    _print_counts(summary, output_format)
    reporter().say(f"{out}: {summary.flows} flows of {len(summary.runs)} runs")
    next_step(f"gsta audit {out}")


def _print_counts(summary: DatasetSummary, output_format: str) -> None:
    """Flows by label and split."""
    counts: dict[str, dict[str, int]] = {str(k): n for k, n in summary.classes.items()}
    if summary.left_out:
        counts["in no split"] = summary.left_out
    print_records(
        [
            {"label": label, **{split: n.get(label, 0) for split, n in counts.items()}}
            for label in summary.vocabulary
        ],
        output_format,
        columns=("label", *counts),
    )


def _parted(summary: DatasetSummary) -> str:
    how = summary.splitting
    left = f", {how.left_out} flows in no split" if how.left_out else ""
    return f"split by {how.by} ({len(how.groups)} groups{left})"


@dataset.command()
@click.argument("folder", type=PATH)
@click.option("--as", "form", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option("--out", type=PATH, required=True,
              help="File to write; for huggingface a new folder.")  # fmt: skip
@click.option("--anonymise", is_flag=True,
              help="Replace addresses, keeping common prefixes (Crypto-PAn).")  # fmt: skip
@click.option("--key", "key_file", type=PATH,
              help="Key for --anonymise: a file of 32 bytes; without it one that is thrown away.",
              )  # fmt: skip
@click.option("--drop", multiple=True, type=click.Choice(get_args(Hidden)),
              help="Leave these columns out; repeat it.")  # fmt: skip
def export(
    folder: Path,
    *,
    form: Format,
    out: Path,
    anonymise: bool,
    key_file: Path | None,
    drop: tuple[Hidden, ...],
) -> None:
    """Write the dataset in FOLDER in a form that other tools read."""
    if key_file and not anonymise:
        raise click.UsageError("--key is the key of --anonymise, which is not there")
    key = (read_key(key_file) if key_file else random_key()) if anonymise else None
    with reporter().stage("export"):
        done = export_dataset(folder, out, form, Privacy(key, frozenset(drop)))
    left = f"; {done.left_out} in no split were left out" if done.left_out else ""
    reporter().say(f"{done.out}: {done.flows} flows, {len(done.columns)} columns{left}")
