"""From a spec that asks for a forecast to a registered forecaster, with real labs."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.e2e.conftest import Gsta

SERIES = {"of": "flows", "per": "all", "window_s": 0.5, "past": 4, "horizon": 2, "season": 4}


@pytest.mark.lab
def test_a_spec_becomes_a_registered_forecaster(gsta: Gsta) -> None:
    spec = gsta.home / "load.yaml"
    spec.write_text(
        yaml.safe_dump(
            {
                "name": "load",
                "topology": "pair",
                "task": {"type": "forecast", "forecast": SERIES},
                "experiments": {"seconds": 8},
                "search": {"families": ["boosting"], "trials": 1, "folds": 2},
                "acceptance": {},  # so short a run has no season to beat
            }
        )
    )
    done = gsta("build", spec, "--backend", "netns", "--serial", "--format", "json")
    assert [row["family"] for row in json.loads(done.stdout)] == [
        "boosting", "naive", "seasonal_naive",
    ]  # fmt: skip
    (folder,) = (gsta.home / "builds").iterdir()
    made = json.loads((folder / "build.json").read_text())
    assert made["champion"]
    assert made["result"]["split"] == "the windows of another run"
    assert "smaller MAE than seasonal naive" in (folder / "report.html").read_text()
    flows = next(folder.glob("flows/*-test.parquet"))
    said = gsta("analyse", "--model", "load@champion", flows, "--format", "jsonl").stdout
    assert [json.loads(line)["step"] for line in said.splitlines()] == [1, 2]
