"""From a spec that asks for a forecast to a registered forecaster, with real labs."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.e2e.conftest import Gsta

SERIES = {"of": "flows", "per": "all", "window_s": 1, "past": 2, "horizon": 1, "season": 2}
LOOKUPS = {
    "kind": "dns",
    "hosts": ["client"],
    "services": ["resolver"],
    "session_s": 1,
    "arrival": {"distribution": "constant", "value_s": 1},
}
LAB = {
    "name": "steady",
    "networks": {"lan": {"subnet": "198.18.0.0/24"}},
    "hosts": {"client": {"networks": ["lan"]}, "server": {"networks": ["lan"]}},
    "services": {"resolver": {"kind": "dns", "host": "server"}},
    "activities": {"resolving": LOOKUPS},
    "phases": [
        {"name": "steady", "duration_s": 10},
        {"name": "quiet", "duration_s": 2, "intensity": 0},
    ],
}


@pytest.mark.lab
def test_a_spec_becomes_a_registered_forecaster(gsta: Gsta) -> None:
    spec = gsta.home / "load.yaml"
    spec.with_name("steady.yaml").write_text(yaml.safe_dump(LAB))
    spec.write_text(
        yaml.safe_dump(
            {
                "name": "load",
                "topology": "steady.yaml",
                "task": {"type": "forecast", "forecast": SERIES},
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
    assert [json.loads(line)["step"] for line in said.splitlines()] == [1]
