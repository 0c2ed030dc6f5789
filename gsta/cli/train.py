"""``gsta train``: an analyser from a dataset, or from flows that somebody else labelled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gsta.cli.common import format_option, next_step, reporter
from gsta.cli.forecasting import train_forecaster
from gsta.workspace import Workspace
from topologies.errors import GateError

if TYPE_CHECKING:
    from gsta.training import Trained
    from sta_registry import Registered

FILE = click.Path(path_type=Path)


@click.command()
@click.option("--dataset", type=FILE, help="A dataset folder, as the last stage of a build.")
@click.option(
    "--flows",
    type=FILE,
    multiple=True,
    help="Instead: a CSV or Parquet file with labelled flows; may be repeated.",
)
@click.option("--test-flows", type=FILE, multiple=True, help="Those to judge on.")
@click.option("--label-column", help="Column of --flows with the labels.")
@click.option("--mapping", help="What the columns of --flows are: a file, or one that ships.")
@click.option("--split-column", help="Column that says train or test.")
@click.option("--time-column", help="The last 30 % of the flows by it are the test.")
@click.option(
    "--group-column",
    help="Flows with one value stay together, in validation and in a split by nothing else.",
)
@click.option(
    "--random-split",
    type=click.FloatRange(0, 0.9, min_open=True),
    metavar="SHARE",
    help="Judge on rows drawn at random; such scores flatter.",
)
@click.option("--positive", multiple=True, metavar="LABEL", help="Tell these from all others.")
@click.option(
    "--benign", multiple=True, metavar="LABEL", help="Tell all others, as malicious, from these."
)
@click.option(
    "--detect", is_flag=True, help="Tell malicious from benign flows, as the mapping knows them."
)
@click.option("--from", "origin", metavar="MODEL", help="Begin with the model of this analyser.")
@click.option(
    "--freeze",
    type=click.Choice(("all-but-last", "nothing")),
    default="all-but-last",
    show_default=True,
    help="With --from: which layers stay as they are.",
)
@click.option("--config", type=FILE, help="A YAML file with what follows, and more.")
@click.option("--families", help="Kinds of model to try, with commas between.")
@click.option("--trials", type=click.IntRange(1), help="Sets of hyperparameters to try.")
@click.option("--time-budget", type=click.FloatRange(0, min_open=True), help="Of the search, in s.")
@click.option("--metric", help="What validation maximises.")
@click.option("--seed", type=click.IntRange(0), help="Of every draw.")
@click.option("--forecast", is_flag=True, help="Forecast traffic instead of classifying flows.")
@click.option("--of", type=click.Choice(("bytes", "packets", "flows")), help="Forecast: of what.")
@click.option(
    "--per", type=click.Choice(("service", "host", "network", "all")), help="Forecast: series."
)
@click.option("--window", type=click.FloatRange(0, min_open=True), help="Forecast: seconds.")
@click.option("--past", type=click.IntRange(2), help="Forecast: windows that it sees.")
@click.option("--horizon", type=click.IntRange(1), help="Forecast: windows to come.")
@click.option("--season", type=click.IntRange(1), help="Forecast: windows of a season.")
@click.option("--accept-unreleased", is_flag=True, help="Learn from a dataset that failed audit.")
@click.option("--register-as", metavar="NAME", help="Register the analyser under this name.")
@click.option(
    "--keep-if-better",
    is_flag=True,
    help="Champion only if it beats the one before on the test runs of --dataset and --also-test.",
)
@click.option("--also-test", type=FILE, multiple=True, help="An older dataset; may be repeated.")
@click.option("--out", type=FILE, help="Write the analyser to this folder.")
@click.option("--fresh", is_flag=True, help="Run every trial, also those known from before.")
@click.option("--serial", is_flag=True, help="Search in this process, without Ray.")
@click.option("--ray-address", help="Ray cluster to search on; default is this machine.")
@format_option
def train(
    *,
    register_as: str | None,
    out: Path | None,
    fresh: bool,
    serial: bool,
    ray_address: str | None,
    accept_unreleased: bool,
    forecast: bool,
    keep_if_better: bool,
    also_test: tuple[Path, ...],
    origin: str | None,
    freeze: Any,
    output_format: str,
    **asked: Any,
) -> None:
    """Train an analyser without the lab, on a --dataset or on labelled --flows.

    Flows are split by --test-flows, or a column for it, time or groups; at random only with
    --random-split. With --forecast, --flows are flow tables of `gsta meter`, and what is learnt is
    the traffic to come.

    One that was stopped goes on where it was when it is called again: its trials are kept below
    GSTA_HOME/trainings.

    --mapping knows: cic-ids2017, cidds-001, nsl-kdd, unsw-nb15, unsw-nb15-full.
    """
    import builder
    from gsta.cli.build import print_result
    from gsta.stages import training_journal
    from gsta.training import begin_with
    from gsta.training import train as run_training
    from sta_registry import Registry, Store, load_sta

    if not register_as and out is None:
        raise click.UsageError("say what to do with the analyser: --register-as NAME, or --out DIR")
    runner = builder.SerialRunner() if serial else builder.RayRunner(address=ray_address)
    if forecast:
        how: Any = {"accept_unreleased": accept_unreleased, "output_format": output_format}
        train_forecaster(asked, out=out, register_as=register_as, runner=runner, **how)
        return
    source = _source(asked)
    workspace = Workspace.default()
    store = Store.open(workspace.home) if register_as else None
    if keep_if_better and not (register_as and isinstance(source, Path)):
        raise click.UsageError("--keep-if-better needs a --dataset and --register-as NAME")
    begin = None
    if origin is not None:
        registry = Registry(Store.open(workspace.home))
        begin = begin_with(load_sta(registry.resolve(origin.removeprefix("models:/"))), freeze)
    trained = run_training(
        source,
        _config(asked),
        runner=runner,
        reporter=reporter(),
        store=store,
        register_as=register_as,
        out=out,
        accept_unreleased=accept_unreleased,
        begin=begin,
        beat_on=(source, *also_test) if keep_if_better else (),
        journal=lambda key: training_journal(workspace.trainings, key, reporter(), fresh=fresh),
    )
    print_result(trained.result, output_format)
    for note in trained.result.notes:
        reporter().say(note)
    model = _champion(trained, trained.registered) if trained.registered else str(out)
    what = "CAPTURE.pcap" if trained.result.table is None else "FLOWS.csv"
    next_step(f"gsta analyse --model {model} {what}")


def _champion(trained: Trained, registered: Registered) -> str:
    """Name and version of the registered analyser; raises `GateError` if it is no champion."""
    model = f"{registered.name}/{registered.version}"
    for bout in trained.bouts:
        reporter().say(str(bout))
    if not registered.champion:
        raise GateError(f"{model} is registered but no champion: it did not beat the one before")
    reporter().say(f"{model} is the champion")
    return model


def _source(asked: dict[str, Any]) -> Any:
    """The dataset's folder, or the flow tables."""
    from builder.foreign import FlowTables
    from builder.splits import Split

    dataset, flows = asked["dataset"], asked["flows"]
    if (dataset is None) == (not flows):
        raise click.UsageError("give a --dataset, or --flows FILE")
    ways = ("test_flows", "split_column", "time_column", "random_split")
    given = [name for name in ways if asked[name]]
    about_tables = (*given, *(n for n in ("label_column", "mapping", "group_column") if asked[n]))
    if dataset is not None and about_tables:
        raise click.UsageError("a dataset says itself what its columns are; leave that to --flows")
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"one way to split is enough: {names}")
    if dataset is not None:
        return dataset
    return FlowTables(
        flows=flows,
        test_flows=asked["test_flows"],
        label_column=asked["label_column"],
        mapping=asked["mapping"],
        benign=asked["benign"],
        split=Split(
            column=asked["split_column"],
            time_column=asked["time_column"],
            random_share=asked["random_split"],
            group_column=asked["group_column"],
        ),
    )


def _config(asked: dict[str, Any]) -> Any:
    """The configuration file with what the options say otherwise."""
    from builder import BuildConfig
    from gsta.cli.options import checked_config

    detect = asked["detect"] or bool(asked["benign"])
    if detect and asked["positive"]:
        raise click.UsageError("--positive names what to find; --benign and --detect find the rest")
    said: dict[str, Any] = {
        name: asked[option]
        for name, option in (
            ("trials", "trials"),
            ("time_budget_s", "time_budget"),
            ("metric", "metric"),
            ("seed", "seed"),
        )
        if asked[option] is not None
    }
    if asked["families"]:
        said["families"] = [name.strip() for name in asked["families"].split(",")]
    if asked["positive"]:
        said |= {"task": "binary", "positive": list(asked["positive"])}
    if detect:
        said |= {"task": "binary", "target": "malicious", "positive": ["malicious"]}
    return checked_config(BuildConfig, asked["config"], said)
