"""The wheel, installed in an empty environment, does the main job without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = """
name: wheel
topology: {topology}
search: {{trials: 2, folds: 2, study_s: 0, families: [random_forest]}}
acceptance: {{f1_macro: 0.5}}
accept_checks:
  {{C1: short, C2: short, D2: short, D3: short, D4: short, D6: short, F1: short, F2: short}}
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_wheel_checks_and_builds_in_an_empty_environment(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("gsta-*.whl")
    empty = tmp_path / "empty"
    run(sys.executable, "-m", "venv", empty, cwd=tmp_path)
    python, gsta = empty / "bin" / "python", empty / "bin" / "gsta"
    run(python, "-m", "pip", "--disable-pip-version-check", "-q", "install", wheel, cwd=tmp_path)

    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(topology=ROOT / "tests" / "e2e" / "small.yaml"))
    assert "a sound spec" in run(gsta, "check", spec, cwd=tmp_path)
    run(gsta, "build", spec, "--backend", "netns", cwd=tmp_path)
    (model,) = json.loads(run(gsta, "models", "list", "--format", "json", cwd=tmp_path))
    assert model["aliases"] == "champion"
    capture = next((tmp_path / ".gsta").glob("builds/*/runs/*-test/captures/servers.pcap"))
    verdicts = run(
        gsta, "analyse", "--model", "wheel@champion", capture, "--format", "jsonl", cwd=tmp_path
    )
    assert len(verdicts.splitlines()) > 20
