"""Whatever happens to the launcher, nothing of its lab stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Gsta, lab_traces

BACKENDS = [
    pytest.param("netns", marks=pytest.mark.lab),
    pytest.param("docker", marks=pytest.mark.docker),
]


@pytest.fixture
def running(
    gsta: Gsta, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A lab in the middle of its run: services up, packets on the wire."""
    out = tmp_path / "run"
    command = gsta.command("lab", "run", "pair", "--seconds", "120", "--backend", request.param)
    process = subprocess.Popen(
        [*command, "--out", str(out)],
        env=gsta.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    capture = out / "captures" / "lan.pcap"
    deadline = time.monotonic() + 120
    while not (capture.exists() and capture.stat().st_size > 20_000):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline, "no traffic"
        time.sleep(0.1)
    yield process, out
    process.kill()
    process.communicate()
    gsta("lab", "wipe")


def manifest(run: Path) -> dict[str, str]:
    return json.loads((run / "manifest.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("running", BACKENDS, indirect=True)
def test_after_kill_9_a_wipe_leaves_nothing(
    gsta: Gsta, running: tuple[subprocess.Popen[str], Path]
) -> None:
    process, run = running
    before = lab_traces(run)
    assert before["processes"]
    assert before["namespaces"] | before["containers"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    gsta("lab", "wipe")
    assert lab_traces(run) == {kind: set() for kind in before}
    assert manifest(run)["status"] == "incomplete"
    assert manifest(run)["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("running", BACKENDS, indirect=True)
def test_ctrl_c_tears_everything_down_and_exits_with_130(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, run = running
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "gsta lab wipe" in messages
    assert "Traceback" not in messages
    assert not any(lab_traces(run).values())
    assert manifest(run)["status"] == "incomplete"
