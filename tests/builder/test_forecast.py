"""Series of flows, the rows made of them, and forecasters from end to end."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.families import Inputs, Target
from builder.forecast.config import ForecastConfig
from builder.forecast.data import read_runs
from builder.forecast.families import BASELINES, forecasters
from builder.forecast.metrics import errors, gain
from builder.forecast.pipeline import forecast
from builder.forecast.series import Series, traffic_series
from builder.forecast.windows import best_season, latest_rows, make_rows, rolling_folds
from builder.report import render_forecast
from builder.serving import OnnxModel
from builder.space import draw
from sta_registry.forecaster import load_forecaster, write_forecaster
from topologies.errors import InputError, NotFoundError

S = 1_000_000_000


def flows(rows):
    """A flow table of (first_s, last_s, port, bytes)."""
    first, last, port, size = zip(*rows, strict=True)
    return pa.table(
        {
            "first_ns": pa.array([round(one * S) for one in first], pa.int64()),
            "last_ns": pa.array([round(one * S) for one in last], pa.int64()),
            "protocol": pa.array([6] * len(rows), pa.uint8()),
            "dst_port": pa.array(port, pa.uint16()),
            "src_ip": ["198.18.0.1"] * len(rows),
            "network": ["lan"] * len(rows),
            "c2s_ip_bytes": pa.array(size, pa.int64()),
            "s2c_ip_bytes": pa.array([0] * len(rows), pa.int64()),
        }
    )


def series_of(table, **change):
    asked = {"of": "bytes", "per": "service", "window_s": 1.0, "most": 10} | change
    return traffic_series(table, **asked)


def test_bytes_are_spread_over_the_windows_that_a_flow_touches():
    table = flows([(10, 10, 80, 7), (10.5, 12.5, 443, 400), (13.2, 13.2, 80, 5)])
    series = series_of(table)
    assert series.names == ("TCP 443", "TCP 80")
    np.testing.assert_allclose(series.values, [[100, 200, 100, 0], [7, 0, 0, 5]])
    counts = series_of(table, of="flows", per="all")
    assert counts.values.tolist() == [[2, 0, 0, 1]]
    assert series.start_ns == 10 * S


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0, 30), st.integers(0, 10**9)),
        min_size=1,
        max_size=30,
    )
)
def test_no_byte_within_the_time_is_lost(rows):
    table = flows([(a, a + d, 80, size) for a, d, size in [*rows, (60, 0, 1)]])
    assert series_of(table).values.sum() == pytest.approx(sum(r[2] for r in rows) + 1)


def test_rows_see_the_past_and_a_season_ago_only():
    series = Series(("a",), np.arange(12.0)[None], 0, 1.0)
    rows = make_rows(series, past=3, horizon=2, season=1)
    assert rows.inputs.features[0].tolist() == [0, 1, 2, 2, 2]  # two steps ahead: two seasons back
    assert rows.target.values[0].tolist() == [3, 4]
    assert rows.origin.tolist() == list(range(3, 11))
    assert latest_rows(series, past=3, horizon=2, season=4).tolist() == [[9, 10, 11, 8, 9]]
    with pytest.raises(InputError, match="run for longer"):
        make_rows(series, past=3, horizon=2, season=11)


def test_folds_never_look_ahead():
    rows = make_rows(Series(("a", "b"), np.ones((2, 60)), 0, 1.0), past=4, horizon=3, season=5)
    folds = rolling_folds(rows, folds=3)
    assert len(folds) == 3
    for fold in folds:
        assert rows.origin[fold.train].max() + 3 <= rows.origin[fold.valid].min()


def test_the_season_is_the_lag_that_repeats():
    assert best_season(np.tile([1.0, 5, 2, 9, 3, 3, 7], 6)[None], horizon=1) == 7


def test_errors_say_what_they_leave_out():
    found = errors([[0, 10]], [[5, 5]])
    assert (found.mae, found.mse, found.mape, found.zeros) == (5, 25, 0.5, 0.5)
    assert found.smape == pytest.approx((2 + 10 / 15) / 2)
    assert errors([[0]], [[0]]).mape is None
    assert errors([[0]], [[0]]).smape == 0
    truth, moments = np.ones((8, 1)), np.arange(8)
    share, low, high = gain(truth, truth + 1, truth + 2, moments, seed=0)
    assert share == low == high == pytest.approx(0.5)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", sorted(forecasters()))
def test_the_exported_forecaster_answers_as_the_trained_one(name, horizon):
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(8, 4, (200, 6 + horizon))) * (rng.random((200, 6 + horizon)) < 0.8)
    inputs = Inputs(size.astype(np.float32))
    target = Target("forecast", inputs.features[:, :horizon] * 2, horizon)
    family = forecasters()[name]
    model = family.fit(inputs, target, params=draw(family.space, rng), seed=0, threads=1)
    native, served = model.predict(inputs), OnnxModel(model.export()).predict(inputs)
    assert native.shape == (200, horizon)
    assert (native >= 0).all()
    np.testing.assert_allclose(served, native, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose load follows a season of ten windows, with noise."""
    rng = np.random.default_rng(0)
    load = 1000 * (2 + np.sin(np.arange(200) * 2 * np.pi / 10)) + np.arange(200) * 10
    rows = [
        (second + 0.1, second + 0.2, port, int(load[second] * rng.uniform(0.7, 1.3)))
        for second in range(200)
        for port in (80, 443)
    ]
    path = tmp_path_factory.mktemp("run") / "run.parquet"
    pq.write_table(flows(rows), path)
    return path


QUICK = ForecastConfig(window_s=1.0, past=12, horizon=2, trials=2, families=("boosting",))


def test_a_forecaster_beats_the_season_and_is_packaged(run, tmp_path):
    result = forecast(read_runs([run], [], QUICK), QUICK)
    assert result.season == 10
    assert [one.family for one in result.judged] == ["boosting", *BASELINES]
    assert result.gain[1] > 0  # the interval, too
    assert len(result.steps) == 2
    assert [len(one.truth) for one in result.scores] == [59, 59]
    best, shown = result.scores[0], np.array(result.scores[0].forecast)
    assert np.abs(shown - best.truth).mean() < np.abs(np.subtract(best.seasonal, best.truth)).mean()
    assert result.split == "the last 60 of 200 windows of the run"
    folder = write_forecaster(result, tmp_path / "traffic", name="traffic")
    card = (folder / "model_card.md").read_text()
    assert "| seasonal_naive |" in card
    assert "MAPE is not defined where the truth is 0" in card
    answer = load_forecaster(folder).predict(pq.read_table(run)).to_pylist()
    assert [(row["series"], row["step"]) for row in answer] == [
        (name, step) for name in result.series for step in (1, 2)
    ]
    assert all(1500 < row["forecast"] < 9000 for row in answer)
    json.dumps(result.to_json(), allow_nan=False)
    page = render_forecast(result, name="traffic")
    assert "<b>boosting</b>" in page
    assert "Forecast of TCP" in page
    assert "<script" not in page


def test_a_search_for_a_forecaster_goes_on_from_its_journal(run, tmp_path):
    journal, done = tmp_path / "trials.jsonl", []
    runs = read_runs([run], [], QUICK)
    first = forecast(runs, QUICK, journal=journal)
    more = QUICK.model_copy(update={"trials": 3})
    second = forecast(runs, more, journal=journal, progress=done.append)
    assert [step.recalled for step in done] == [1, 2, 2]
    assert second.trials[:2] == first.trials[:2]


def test_a_network_beats_the_season_that_it_was_shown(run):
    asked = ForecastConfig(window_s=1.0, past=12, horizon=1, trials=1, families=("mlp",), folds=1)
    result = forecast(read_runs([run], [], asked), asked)
    assert result.winner.family == "mlp"
    assert result.gain[0] > 0


def test_another_run_may_judge(run):
    result = forecast(read_runs([run], [run], QUICK), QUICK)
    assert result.split == "the windows of another run"
    assert result.train_rows == result.test_rows == 2 * (200 - 12 - 1)


def test_faults_are_told(run, tmp_path):
    with pytest.raises(NotFoundError):
        read_runs([tmp_path / "none"], [], QUICK)
    pq.write_table(pa.table({"first_ns": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="columns of a flow table"):
        read_runs([tmp_path / "other.parquet"], [], QUICK)
    long = QUICK.model_copy(update={"past": 199})
    with pytest.raises(InputError, match="run for longer"):
        forecast(read_runs([run], [], long), long)
    with pytest.raises(ValueError, match="families among boosting, lstm, mlp"):
        ForecastConfig(families=("crystal_ball",))
