"""A search that is killed with -9 half-way, as a user would find it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import builder
from builder import BuildConfig, SerialRunner, build
from builder.journal import search_key, trials_known
from tests.builder.searching import untimed
from topologies.files import sha256_file

CONFIG = BuildConfig(trials=24, folds=2, seed=3, heuristic="halving", families=("random_forest",))
EVALUATIONS = 24 + 8 + 2

SEARCH = """
import sys
from pathlib import Path
from builder import BuildConfig, RayRunner, build
folder, journal, config = sys.argv[1:]
config = BuildConfig.model_validate_json(config)
build(Path(folder), config, runner=RayRunner(cpus=2), journal=lambda _: Path(journal))
"""


@pytest.mark.slow
def test_a_killed_search_finds_what_an_undisturbed_one_finds(write, tmp_path):
    folder, journal = write(separation=0.5), tmp_path / "trials.jsonl"
    undisturbed = build(folder, CONFIG, runner=SerialRunner())
    key = search_key(sha256_file(folder / "dataset.json"), CONFIG)
    process = subprocess.Popen(
        [sys.executable, "-c", SEARCH, str(folder), str(journal), CONFIG.model_dump_json()],
        cwd=Path(builder.__file__).parents[1],
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 300
    while trials_known(journal, key) < EVALUATIONS // 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    known = trials_known(journal, key)
    assert known >= EVALUATIONS // 2
    heard = []
    resumed = build(
        folder, CONFIG, runner=SerialRunner(), journal=lambda _: journal, progress=heard.append
    )
    assert [step.recalled for step in heard if step.stage == "search"][-1] >= known
    assert untimed(resumed.trials) == untimed(undisturbed.trials)
    assert replace(resumed.winner, seconds=0.0) == replace(undisturbed.winner, seconds=0.0)
    assert resumed.onnx == undisturbed.onnx
    assert trials_known(journal, key) == EVALUATIONS
