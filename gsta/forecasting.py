"""From a spec to a registered forecaster: labs, flows, series, search, and one look at the test.

A forecast needs no labels, so nothing is tagged or audited. Every stage writes below one folder::

    runs/<build>-train, runs/<build>-test   launcher
    flows/<run>.parquet                     flowmeter
    search/trials.jsonl                     builder: each trial as it ends
    sta/, report.html, build.json           the forecaster, how good it is, what came of it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder import Runner
from builder.forecast.data import read_runs
from builder.forecast.pipeline import forecast, forecast_key
from builder.forecast.result import ForecastResult
from builder.report import REPORT_FILE, render_forecast
from gsta.generate import Labs, metered_runs
from gsta.order import Order
from gsta.reporting import Reporter
from gsta.stages import Stages, trial_journal
from gsta.training import search_progress
from sta_registry import Registered, Registry, Store
from sta_registry.forecaster import write_forecaster
from topologies.files import sha256_file, write_json, write_text

STA = "sta"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the build of a forecaster came to."""

    result: ForecastResult
    registered: Registered


def build_forecast(
    order: Order,
    *,
    folder: Path,
    store: Store,
    labs: Labs,
    runner: Runner,
    reporter: Reporter,
    threads: int = 1,
) -> Forecast:
    """Run every stage.

    Raises
    ------
    InputError
        The runs are too short for the windows that the spec asks for.
    GstaError
        A stage failed; what the stages before it wrote stays in ``folder``.
    """
    spec, config = order.spec.model, order.forecast_config(threads=threads)
    stages = Stages(folder, reporter, labs.builds)
    played = metered_runs(order, folder, labs, stages, reporter)
    flows = {
        split: [one.flows for one in played if one.split == split] for split in ("train", "test")
    }
    runs = read_runs(flows["train"], flows["test"], config)
    journal = trial_journal(folder, forecast_key(runs, config), reporter, labs.builds)
    with reporter.stage("search") as progress:
        result = forecast(
            runs, config, runner=runner, progress=search_progress(progress), journal=journal
        )
    write_forecaster(result, folder / STA, name=spec.model_name)
    write_text(folder / REPORT_FILE, render_forecast(result, name=spec.model_name))
    with reporter.stage("register"):
        registered = Registry(store).register_forecast(
            result,
            name=spec.model_name,
            acceptance=spec.bars,
            spec_sha256=sha256_file(Path(order.spec.source.file)),
        )
    made = Forecast(result, registered)
    write_json(folder / "build.json", _summary(made, dict(reporter.seconds)))
    return made


def write_results(result: ForecastResult, folder: Path, *, name: str) -> None:
    """The forecaster's folder with its report in it."""
    write_forecaster(result, folder, name=name)
    write_text(folder / REPORT_FILE, render_forecast(result, name=name))


def _summary(made: Forecast, seconds: dict[str, float]) -> dict[str, object]:
    return {
        "model": made.registered.name,
        "version": made.registered.version,
        "champion": made.registered.champion,
        "acceptance": [str(check) for check in made.registered.checks],
        "seconds": seconds,
        "result": made.result.to_json(),
    }
