"""``gsta train --forecast``: what a command line says about a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gsta.cli.common import next_step, print_records, reporter

if TYPE_CHECKING:
    from builder.forecast.result import ForecastResult

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
    asked: Mapping[str, Any], *, out: Path, accept_unreleased: bool, output_format: str
) -> None:
    """Train, print the errors beside the baselines, and write the forecaster's folder."""
    from builder.forecast.config import ForecastConfig
    from builder.forecast.data import read_dataset_runs, read_runs
    from builder.forecast.pipeline import forecast
    from gsta.cli.options import checked_config
    from sta_registry.forecaster import write_forecaster

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
        total, done = config.trials + 2, [0]

        def count(_: object) -> None:
            done[0] += 1
            progress("trials", done[0], total)

        result = forecast(runs, config, progress=count)
    write_forecaster(result, out, name=out.name)
    _print(result, output_format)
    reporter().say(f"the forecaster and its card are in {out}")
    next_step(f"gsta analyse --model {out} FLOWS.parquet")


def _print(result: ForecastResult, output_format: str) -> None:
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
