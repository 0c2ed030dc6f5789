"""A trained forecaster as a folder: ONNX, JSON and a card; writing one, loading one, asking it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from builder.families.base import Inputs
from builder.forecast.result import ForecastResult
from builder.forecast.series import traffic_series
from builder.forecast.windows import latest_rows
from builder.serving import OnnxModel
from topologies.errors import InputError, NotFoundError, Problem
from topologies.files import replacing, write_text
from topologies.records import damaged_record

FORECAST_FILE: Final = "forecast.json"
MODEL_FILE: Final = "model.onnx"
CARD_FILE: Final = "model_card.md"
_REMEDY: Final = "the folder is damaged or foreign: train the forecaster again"


class ForecastManifest(BaseModel):
    """``forecast.json``: what the model forecasts, how it was found, how good it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gsta-forecast/1"] = "gsta-forecast/1"
    name: str
    of: Literal["bytes", "packets", "flows"]
    per: Literal["service", "host", "network", "all"]
    window_s: float = Field(gt=0)
    past: int = Field(ge=2)
    horizon: int = Field(ge=1)
    season: int = Field(ge=1, description="windows")
    most_series: int = Field(ge=1)
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    spec_sha256: str | None = Field(None, description="of the spec that asked for it")
    result: dict[str, Any] = Field(description="trials, errors, source, versions")


@dataclass(frozen=True, slots=True)
class Forecaster:
    """A loaded forecaster."""

    manifest: ForecastManifest
    model: OnnxModel

    def predict(self, flows: pa.Table, *, source: str = "flow table") -> pa.Table:
        """What comes after the last window of a flow table.

        One row per series and window to come: ``series``, ``step`` from 1, ``begin_ns`` of the
        window, and ``forecast``, the sum over the window.

        Raises
        ------
        InputError
            Columns are missing, or the time is too short for the past and season that it needs.
        """
        asked = self.manifest
        series = traffic_series(
            flows,
            of=asked.of,
            per=asked.per,
            window_s=asked.window_s,
            most=asked.most_series,
            file=source,
        )
        rows = latest_rows(series, past=asked.past, horizon=asked.horizon, season=asked.season)
        answer = self.model.predict(Inputs(rows))
        steps = np.arange(asked.horizon)
        begin = series.start_ns + (series.values.shape[1] + steps) * int(asked.window_s * 1e9)
        return pa.table(
            {
                "series": np.repeat(np.array(series.names, dtype=object), asked.horizon),
                "step": np.tile(steps + 1, len(series.names)),
                "begin_ns": np.tile(begin, len(series.names)),
                "forecast": answer.astype(np.float64).ravel(),
            }
        )


def write_forecaster(
    result: ForecastResult, folder: Path, *, name: str, spec_sha256: str | None = None
) -> Path:
    """Write the winner as a folder, the manifest last."""
    settings = {key: result.config[key] for key in ("of", "per", "window_s", "past", "horizon")}
    manifest = ForecastManifest(
        name=name,
        **settings,
        season=result.season,
        most_series=result.config["most_series"],
        model_sha256=hashlib.sha256(result.onnx).hexdigest(),
        spec_sha256=spec_sha256,
        result=result.to_json(),
    )
    with replacing(folder / MODEL_FILE) as temporary:
        temporary.write_bytes(result.onnx)
    write_text(folder / CARD_FILE, forecast_card(result, name=name))
    write_text(folder / FORECAST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return folder


def load_forecaster(folder: Path) -> Forecaster:
    """Load such a folder.

    Raises
    ------
    NotFoundError, InputError
        A file is missing, damaged or foreign.
    """
    path, graph = folder / FORECAST_FILE, folder / MODEL_FILE
    for file in (path, graph):
        if not file.is_file():
            raise NotFoundError(Problem(str(file), "", "a file of a forecaster", "none", _REMEDY))
    try:
        manifest = ForecastManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise damaged_record(
            path, error, expected="a forecaster's manifest", remedy=_REMEDY
        ) from error
    onnx = graph.read_bytes()
    digest = hashlib.sha256(onnx).hexdigest()
    if digest != manifest.model_sha256:
        raise InputError(
            Problem(str(graph), "", f"SHA-256 {manifest.model_sha256}", digest, _REMEDY)
        )
    return Forecaster(manifest, OnnxModel(onnx))


def forecast_card(result: ForecastResult, *, name: str) -> str:
    """The card as Markdown: what it forecasts, errors beside the baselines, limits."""
    config = result.config
    per = "of all traffic" if config["per"] == "all" else f"per {config['per']}"
    season = f"{result.season} windows" + (
        ", the lag that repeats best in the training windows" if result.season_found else ""
    )
    zeros = result.judged[0].test.zeros
    lines = [
        f"# {name}\n",
        (
            f"Forecasts {config['of']} {per}: {config['horizon']} windows of "
            f"{config['window_s']:g} s to come, from the {config['past']} before. "
            f"Season: {season}. Series: {', '.join(result.series)}.\n"
        ),
        (
            f"## Errors\n\nOn {result.split}: {result.test_rows:,} rows, of which training saw "
            f"none; it learnt from {result.train_rows:,} earlier ones. Low is good.\n"
        ),
        "| Family | MAE in validation | MAE | MSE | MAPE | sMAPE | MAE less than seasonal naive |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for one in result.judged:
        test, gain = one.test, one.gain
        mape = "-" if test.mape is None else f"{test.mape:.1%}"
        lines.append(
            f"| {one.family} | {one.validation_mae:,.4g} | {test.mae:,.4g} | {test.mse:,.4g} | "
            f"{mape} | {test.smape:.3f} | {gain[0]:.1%} ({gain[1]:.1%} to {gain[2]:.1%}) |"
        )
    lines += [
        (
            f"\nMAPE is not defined where the truth is 0: it leaves out {zeros:.1%} of the "
            "windows. sMAPE is in [0, 2]. Intervals are 95 %, by bootstrap over moments.\n"
        ),
        (
            "## Limits\n\n- It knows the load of the network that it was trained on, and no "
            "other.\n- A series that it never saw is forecast by its shape alone."
        ),
    ]
    return "\n".join(lines) + "\n"
