"""``gsta train --forecast``: what a command line says about a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gsta.cli.common import next_step, print_records, reporter
from gsta.workspace import Workspace
from topologies.errors import GateError

if TYPE_CHECKING:
    from builder import Runner
    from builder.forecast.result import ForecastResult
    from sta_registry import Registered

OPTIONS = {
    "of": "of",
    "per": "per",
    "window": "window_s",
    "past": "past",
    "horizon": "horizon",
    "season": "season",
    "trials": "trials",
    "time_budget": "time_budget_s",
    "seed": "seed",
}


def train_forecaster(
    asked: Mapping[str, Any],
    *,
    out: Path | None,
    register_as: str | None,
    runner: Runner,
    accept_unreleased: bool,
    output_format: str,
) -> None:
    """Train, print the errors beside the baselines, write the forecaster's folder, register it.

    Raises
    ------
    GateError
        It is to be registered, and does not beat the seasonal naive forecast.
    """
    from builder.forecast.config import ForecastConfig
    from builder.forecast.data import read_dataset_runs, read_runs
    from builder.forecast.pipeline import forecast
    from gsta.cli.options import checked_config
    from gsta.forecasting import write_results
    from gsta.training import search_progress
    from sta_registry import Registry, Store

    said = {name: asked[option] for option, name in OPTIONS.items() if asked[option] is not None}
    if asked["families"]:
        said["families"] = [name.strip() for name in asked["families"].split(",")]
    config = checked_config(ForecastConfig, asked["config"], said)
    dataset, flows = asked["dataset"], asked["flows"]
    if (dataset is None) == (not flows):
        raise click.UsageError("give a --dataset, or --flows FILE")
    if dataset is not None:
        runs = read_dataset_runs(dataset, config, accept_unreleased=accept_unreleased)
    else:
        runs = read_runs(flows, asked["test_flows"], config)
    with reporter().stage("forecast") as progress:
        result = forecast(runs, config, runner=runner, progress=search_progress(progress))
    print_forecast(result, output_format)
    model = ""
    if out is not None:
        write_results(result, out, name=register_as or out.name)
        reporter().say(f"the forecaster, its card and report.html are in {out}")
        model = str(out)
    if register_as is not None:
        registry = Registry(Store.open(Workspace.default().home))
        registered = registry.register_forecast(result, name=register_as)
        require_champion(registered)
        model = f"{registered.name}@champion"
    next_step(f"gsta analyse --model {model} FLOWS.parquet")


def require_champion(registered: Registered) -> None:
    """Say that a version is the champion; raises `GateError` where it is none."""
    named = f"{registered.name}/{registered.version}"
    if not registered.champion:
        unmet = "; ".join(str(check) for check in registered.checks if not check.met)
        raise GateError(f"{named} is registered but no champion: {unmet}")
    reporter().say(f"{named} is the champion")


def print_forecast(result: ForecastResult, output_format: str) -> None:
    """Errors of each family on stdout, what was forecast on stderr."""
    print_records(
        [
            {
                "family": one.family,
                "mae": f"{one.test.mae:.4g}",
                "mse": f"{one.test.mse:.4g}",
                "mape": None if one.test.mape is None else f"{one.test.mape:.4g}",
                "smape": f"{one.test.smape:.4g}",
                "mae_less_than_seasonal": f"{one.gain[0]:.3f}",
                "interval": f"{one.gain[1]:.3f} to {one.gain[2]:.3f}",
            }
            for one in result.judged
        ],
        output_format,
        columns=(
            *("family", "mae", "mse", "mape", "smape"),
            *("mae_less_than_seasonal", "interval"),
        ),
    )
    reporter().say(
        f"{len(result.series)} series, season {result.season} windows; judged on {result.split}; "
        f"MAPE leaves out the {result.judged[0].test.zeros:.0%} of windows whose truth is 0"
    )
