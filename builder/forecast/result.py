"""What a forecast's training hands over."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from builder.forecast.metrics import Errors
from builder.result import Trial


@dataclass(frozen=True, slots=True)
class Judged:
    """A family on the test windows. ``gain`` and its 95 % interval: how much smaller its MAE is
    than that of the seasonal naive forecast, as a share."""

    family: str
    trial: int
    validation_mae: float
    test: Errors
    gain: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class SeriesScore:
    """One series of the test: its mean, and the MAE of the winner and of the seasonal naive one.

    The lines are of the next window, moment by moment; empty but for the largest series.
    """

    name: str
    mean: float
    mae: float
    seasonal_mae: float
    truth: tuple[float, ...]
    forecast: tuple[float, ...]
    seasonal: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ForecastResult:
    """The winner, how it was found, and how it did beside the baselines.

    ``onnx`` takes ``features`` float32 [n, past + horizon] (see `builder.forecast.windows.Rows`)
    and answers ``forecast`` float32 [n, horizon], sums of the windows to come. ``steps`` is the
    MAE of the winner and of the seasonal naive forecast, one to ``horizon`` windows ahead.
    """

    config: dict[str, Any]
    series: tuple[str, ...]
    season: int  # windows
    season_found: bool  # chosen on training values, not asked for
    split: str  # what the test is, in words
    trials: tuple[Trial, ...]  # their score is the negative MAE of validation
    winner: Trial
    judged: tuple[Judged, ...]  # the winner first, the baselines last
    train_rows: int
    test_rows: int
    onnx: bytes
    source: str
    source_sha256: str
    versions: dict[str, str]
    scores: tuple[SeriesScore, ...]  # the largest series first
    steps: tuple[tuple[float, float], ...]

    @property
    def gain(self) -> tuple[float, float, float]:
        """How much smaller the winner's MAE is than the seasonal naive one's; 95 % interval."""
        return self.judged[0].gain

    def to_json(self) -> dict[str, Any]:
        """Everything but the model's bytes."""
        values = asdict(self)
        del values["onnx"]
        return values
