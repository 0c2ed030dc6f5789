"""A forecast as MLflow runs: one for itself, one nested in it for each trial, and the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.forecast.result import ForecastResult
from sta_registry.forecaster import CARD_FILE, FORECAST_FILE, load_forecaster
from sta_registry.runs import (
    Clock,
    LoggedModel,
    as_json,
    begin_run,
    log_model,
    log_source,
    log_trial,
    log_values,
)
from sta_registry.store import Store
from topologies.files import sha256_file

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def log_forecast(
    store: Store, result: ForecastResult, folder: Path, *, clock: Clock
) -> LoggedModel:
    """Log a forecast, its trials and its folder, which is called ``sta``."""
    from builder.report import REPORT_FILE, render_forecast

    client, experiment = store.client, store.experiment()
    manifest = load_forecaster(folder).manifest
    tags = {
        "gsta.kind": "forecast",
        "gsta.dataset_sha256": result.source_sha256,
        "gsta.spec_sha256": manifest.spec_sha256 or "",
    }
    with store.errors(), begin_run(client, experiment, manifest.name, tags, clock) as run_id:
        log_values(client, run_id, _params(result), _metrics(result), clock)
        log_source(client, run_id, result.source, result.source_sha256)
        client.log_text(run_id, as_json(result.to_json()), "build.json")
        client.log_text(run_id, render_forecast(result, name=manifest.name), REPORT_FILE)
        for file in (CARD_FILE, FORECAST_FILE):
            client.log_artifact(run_id, str(folder / file))
        for trial in result.trials:
            log_trial(client, experiment, run_id, trial, clock)
        return log_model(
            client,
            experiment,
            run_id,
            folder,
            name=manifest.name,
            form=manifest.format,
            tags={
                "gsta.manifest_sha256": sha256_file(folder / FORECAST_FILE),
                "gsta.dataset_sha256": result.source_sha256,
                "gsta.task": "forecast",
                "gsta.family": result.winner.family,
                "gsta.mae_gain": repr(result.gain[0]),
            },
            schema=_signature(manifest.of, manifest.per),
        )


def _params(result: ForecastResult) -> dict[str, object]:
    asked = ("of", "per", "window_s", "past", "horizon", "heuristic", "seed")
    return {
        "task": "forecast",
        **{name: result.config[name] for name in asked},
        "season": result.season,
        "series": len(result.series),
        "split": result.split,
        "trials": len(result.trials),
        "winner.number": result.winner.number,
        "winner.family": result.winner.family,
    } | {f"winner.{name}": value for name, value in result.winner.params.items()}


def _metrics(result: ForecastResult) -> dict[str, float]:
    gain, low, high = result.gain
    found = {"test_mae_gain": gain, "test_mae_gain_low": low, "test_mae_gain_high": high}
    for one in result.judged:
        prefix = f"family_{one.family}"
        found[f"{prefix}_validation_mae"] = one.validation_mae
        found |= {f"{prefix}_test_{name}": getattr(one.test, name) for name in ("mae", "mse")}
        found[f"{prefix}_test_smape"] = one.test.smape
        if one.test.mape is not None:
            found[f"{prefix}_test_mape"] = one.test.mape
    return found


def _signature(of: str, per: str) -> ModelSignature:
    """MLflow's signature: the columns of flows that the series are made of; forecasts out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from builder.forecast.series import columns_for

    texts = {"src_ip", "network"}
    columns = [(name, "string" if name in texts else "long") for name in columns_for(of, per)]
    answer = (("series", "string"), ("step", "long"), ("begin_ns", "long"), ("forecast", "double"))
    return ModelSignature(
        inputs=Schema([ColSpec(kind, name) for name, kind in columns]),
        outputs=Schema([ColSpec(kind, name) for name, kind in answer]),
    )
