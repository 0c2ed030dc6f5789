"""Forecasters from the command line: trained, registered, asked."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gsta.cli import cli
from sta_registry import Registry, Store
from sta_registry.forecaster import load_forecaster

ASKED = ("train", "--forecast", "--serial", "--trials", "1", "--seed", "1", "--per", "all")
SHAPE = ("--window", "1", "--past", "12", "--horizon", "2", "--season", "10")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One store for all: making its tables takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def gsta(home, monkeypatch):
    monkeypatch.setenv("GSTA_HOME", str(home))

    def call(*arguments, code=0):
        done = CliRunner().invoke(cli, [str(one) for one in arguments])
        assert done.exit_code == code, done.output
        return done

    return call


def registered(gsta, name):
    listed = json.loads(gsta("models", "list", "--format", "json").stdout)
    return next(row for row in listed if row["model"] == name)


def flows(path, *, noise):
    """A run of 160 s whose load follows a season of ten seconds."""
    second = np.arange(160)
    load = 1000 * (2 + np.sin(second * 2 * np.pi / 10)) * (1 + second / 300)
    rng = np.random.default_rng(0)
    sizes = (load * rng.uniform(1 - noise, 1 + noise, 160)).astype(np.int64)
    if not noise:
        sizes = np.tile(sizes[:10], 16)
    columns = {
        "first_ns": pa.array(second * 10**9 + 10**8),
        "last_ns": pa.array(second * 10**9 + 2 * 10**8),
        "c2s_ip_bytes": pa.array(sizes),
        "s2c_ip_bytes": pa.array(np.zeros(160, dtype=np.int64)),
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_a_forecaster_is_registered_by_name_asked_and_served(gsta, home, tmp_path):
    run = flows(tmp_path / "run.parquet", noise=0.3)
    out = tmp_path / "load"
    done = gsta(*ASKED, *SHAPE, "--flows", run, "--out", out, "--register-as", "load",
                "--format", "json")  # fmt: skip
    families = [row["family"] for row in json.loads(done.stdout)]
    assert families == ["boosting", "naive", "seasonal_naive"]
    assert "Every family on the test" in (out / "report.html").read_text()
    row = registered(gsta, "load")
    assert (row["aliases"], row["f1_macro"], row["accepted"]) == ("champion", None, True)
    assert row["mae_gain"] > 0
    assert "| seasonal_naive |" in gsta("models", "show", "load").stdout
    said = gsta("analyse", "--model", "load@champion", run, "--format", "csv").stdout
    answer = list(csv.DictReader(io.StringIO(said)))
    assert [(one["series"], one["step"]) for one in answer] == [("all", "1"), ("all", "2")]
    expected = load_forecaster(out).predict(pq.read_table(run))["forecast"].to_pylist()
    assert [float(one["forecast"]) for one in answer] == pytest.approx(expected)

    import mlflow.pyfunc  # which warns its authors, but not where the store loads it

    (version,) = Registry(Store.open(home)).show_model("load")
    served = mlflow.pyfunc.load_model(version.location).predict(pq.read_table(run).to_pandas())
    assert served["forecast"].to_list() == pytest.approx(expected)


def test_one_that_does_not_beat_the_season_is_no_champion(gsta, tmp_path):
    run = flows(tmp_path / "run.parquet", noise=0)
    done = gsta(*ASKED, *SHAPE, "--flows", run, "--register-as", "steady", code=4)
    assert "no champion: mae_gain" in done.stderr
    assert registered(gsta, "steady")["aliases"] == ""
