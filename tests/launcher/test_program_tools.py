"""What lab programs leave behind of the tools they start: nothing, whenever they are ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import launcher

PROGRAMS = Path(launcher.__file__).parent / "programs"
PATIENCE_S = 20.0
SESSION = '{"seed": 1, "peers": [], "duration_s": 10}'
# A tool whose own child goes on writing into its home after the tool was killed.
CLIENT = """
import sys
sys.path.insert(0, sys.argv[3])
from common import emit, main
from common_tool import home, run_tool
def act(session):
    with home() as folder:
        emit("begun", folder=str(folder))
        loop = '(while :; do mkdir -p "$HOME/deep"; sleep 0.01; done) & wait'
        run_tool(session, ["sh", "-c", loop], folder)
sys.argv = sys.argv[:3]
main(None, act)
"""


SLEEPER = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[3])
from common import emit, main
def act(session):
    if session.params["told"]:
        emit("answer")
    try:
        time.sleep(60)
    finally:
        emit("effect")
async def paced(session):
    if session.params["told"]:
        emit("answer")
    try:
        await asyncio.sleep(60)
    finally:
        emit("effect")
way, sys.argv = sys.argv[4], sys.argv[:3]
main(None, {"plain": act, "paced": paced}[way])
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A session of ten seconds, as the launcher starts it: the leader of its group."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, "client", SESSION, str(PROGRAMS)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_tool_and_its_children_end_with_the_session(
    client: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert client.stdout is not None
    assert "begun" in client.stdout.readline()
    deadline = time.monotonic() + PATIENCE_S
    while not list(tmp_path.glob("lab-*/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(client.pid, signal.SIGTERM)
    assert client.wait(PATIENCE_S) == 0
    assert list(tmp_path.iterdir()) == []
    assert client.pid not in [_group(file) for file in Path("/proc").glob("[0-9]*/stat")]


def _group(file: Path) -> int:
    """The process group of what runs; 0 for what has ended."""
    try:
        state, _, group, *_ = file.read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if state == "Z" else int(group)


@pytest.mark.parametrize("way", ["plain", "paced"])
@pytest.mark.parametrize("told", [True, False])
def test_a_session_that_has_not_begun_in_its_time_has_failed(way: str, told: bool) -> None:
    session = json.dumps({"seed": 1, "peers": [], "duration_s": 0.3, "params": {"told": told}})
    done = subprocess.run(
        [sys.executable, "-c", SLEEPER, "client", session, str(PROGRAMS), way],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (0 if told else 1), done.stderr
    assert ("NotBegun" in [event.get("error") for event in said]) is not told
    assert "effect" in [event["event"] for event in said]
