"""Which labs are dead, and that a wipe leaves nothing of them: the launcher is really killed."""

from __future__ import annotations

import http.server
import json
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from launcher import engine, labstate, namespaces, remains
from launcher.labs import Lab, LabState, WipeReport, dead_labs, live_labs, wipe
from topologies.errors import LabError, MachineError

ROOT = Path(__file__).parents[2]

# A launcher: builds a lab with a server in it and a capture, says so, and waits.
LAUNCHER = """
import sys, time
from pathlib import Path
from launcher.addressing import lab_plan
from launcher.backend import Command
from launcher.labs import Lab
from launcher.netns import NetnsBackend
from topologies import Topology

run = Path(sys.argv[1])
(run / "programs").mkdir(parents=True)
(run / "programs" / "idle.py").write_text("import os, time\\nos.fork()\\ntime.sleep(600)\\n")
(run / "manifest.json").write_text('{"status": "incomplete", "reason": "", "seed": 7}')
topology = Topology.model_validate({
    "name": "doomed",
    "networks": {"lan": {"subnet": "198.18.7.0/24"}},
    "hosts": {"a": {"networks": ["lan"], "count": 3}},
})
lab = Lab.create(backend="netns", run_dir=run)
backend = NetnsBackend(lab, programs=run / "programs")
backend.up(lab_plan(topology), run)
for host in ("a-1", "a-2"):
    backend.spawn(host, Command("idle", (), 20_000, "idle.log"))
backend.capture("lan", run / "captures" / "lan.pcap")
print(lab.id, flush=True)
time.sleep(600)
"""


# A launcher that has got as far as its state file.
BARE = """
import sys, time
from pathlib import Path
from launcher.labs import Lab
lab = Lab.create(backend="netns", run_dir=Path(sys.argv[1]))
print(lab.id, flush=True)
time.sleep(600)
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own."""
    monkeypatch.setenv(labstate.STATE_VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state"


@contextmanager
def launcher(code: str, run_dir: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A process that makes a lab and lives until it is killed; the lab's id and the process."""
    command = [sys.executable, "-c", code, str(run_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        lab = process.stdout.readline().decode().strip()
        assert lab
        try:
            yield lab, process
        finally:
            process.kill()


@contextmanager
def killed_launcher(code: str, run_dir: Path) -> Iterator[str]:
    """The id of a lab whose launcher has been killed."""
    with launcher(code, run_dir) as (lab, process):
        process.kill()
        process.wait()
        yield lab


def test_a_lab_is_alive_while_its_launcher_is(state: Path, tmp_path: Path) -> None:
    with launcher(BARE, tmp_path / "run") as (lab, process):
        assert dead_labs() == ()
        assert [(state.id, state.pid) for state in live_labs()] == [(lab, process.pid)]
        process.kill()
        process.wait()
        assert live_labs() == ()
        assert dead_labs() == (LabState(lab, "netns", str(tmp_path / "run"), process.pid),)
    assert [path.name for path in (state / "labs").iterdir()] == [f"{lab}.json"]


def test_a_closed_lab_is_forgotten(state: Path, tmp_path: Path) -> None:
    with Lab.create(backend="netns", run_dir=tmp_path) as lab:
        (lab.folder / "hosts").write_text("127.0.0.1 localhost\n")
        assert dead_labs() == ()
        assert lab.labels == {"gsta.lab": lab.id}
    assert list((state / "labs").iterdir()) == []
    lab.close()


def test_the_state_directory_must_be_ones_own(state: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    state.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MachineError, match="belongs to another user"):
        Lab.create(backend="netns", run_dir=tmp_path)


@pytest.mark.parametrize(
    ("status", "reason", "after"),
    [
        ("incomplete", "", "the launcher was killed before the run was complete"),
        ("incomplete", "Ctrl-C", "Ctrl-C"),
        ("complete", "", ""),
    ],
)
def test_the_run_of_a_dead_lab_says_it_is_incomplete(
    state: Path, tmp_path: Path, status: str, reason: str, after: str
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"status": status, "reason": reason, "seed": 3}))
    with killed_launcher(BARE, tmp_path) as lab:
        report = wipe()
    assert report.labs == (lab,)
    assert report.run_dirs == ((tmp_path,) if status == "incomplete" else ())
    assert json.loads(manifest.read_text()) == {"status": status, "reason": after, "seed": 3}
    assert dead_labs() == ()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x"}'])
def test_a_damaged_state_file_is_wiped_like_any_other(state: Path, text: str) -> None:
    labstate.labs_directory()
    (state / "labs" / "0a0b0c.json").write_text(text)
    assert wipe().labs == ("0a0b0c",)
    assert list((state / "labs").iterdir()) == []


def test_a_damaged_manifest_is_left_as_it_is(state: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with killed_launcher(BARE, tmp_path):
        assert wipe().run_dirs == ()
    assert (tmp_path / "manifest.json").read_text() == "{"


def test_a_living_lab_is_wiped_only_by_force(state: Path, tmp_path: Path) -> None:
    with launcher(BARE, tmp_path) as (lab, process):
        assert wipe().alive == (lab,)
        assert process.poll() is None
        report = wipe(force=True)
        assert (report.labs, report.alive) == ((lab,), ())
        assert process.wait() == -signal.SIGKILL


def test_a_report_says_what_was_done(tmp_path: Path) -> None:
    assert WipeReport().summary() == "no dead lab was left"
    report = WipeReport(("a1",), ("b2",), {"containers": 0, "processes": 3}, (tmp_path,))
    assert report.summary() == (
        "removed 1 dead lab(s), with 3 processes, 1 run(s) marked incomplete, "
        "1 running lab(s) let be: --force ends them"
    )


def test_force_spares_the_process_that_wipes(state: Path, tmp_path: Path) -> None:
    with Lab.create(backend="netns", run_dir=tmp_path) as lab:
        assert wipe(force=True).alive == (lab.id,)


def test_a_wipe_with_nothing_to_do_is_fast(state: Path) -> None:
    wipe()
    started = time.perf_counter()
    wipe()
    assert time.perf_counter() - started < 0.3


@pytest.mark.lab
def test_after_kill_9_of_the_launcher_a_wipe_leaves_nothing(state: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with killed_launcher(LAUNCHER, run) as lab:
        try:
            _check_wipe(lab, run)
        finally:
            remains.remove(lab)


def _running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def _check_wipe(lab: str, run: Path) -> None:
    paths = [namespaces.path_of(name) for name in namespaces.names(f"gsta-{lab}-")]
    assert len(paths) == 4  # three hosts and the fabric
    deadline = time.monotonic() + 20
    # Two programs and a child of each; tcpdump may end by itself, its standard error being gone.
    while len(running := namespaces.processes_in(paths)) < 4:
        assert time.monotonic() < deadline, running
    assert lab in {state.id for state in dead_labs()}

    report = wipe()

    assert lab in report.labs
    assert report.removed["processes"] >= 4
    assert report.removed["namespaces"] >= 4
    assert run in report.run_dirs
    assert json.loads((run / "manifest.json").read_text())["reason"]
    assert not any(path.exists() for path in paths)
    assert not any(_running(process) for process in running)
    assert lab not in remains.find()
    assert not any(lab in path.name for path in (labstate.state_directory() / "labs").iterdir())


@pytest.mark.lab
def test_what_has_no_state_file_is_found_by_its_name(state: Path) -> None:
    with Lab.create(backend="netns", run_dir=state) as made:
        lab = made.id
    namespace = namespaces.create(remains.namespace_name(lab, "www"))
    shell = namespaces.start_process(namespace, ["sleep", "600"])
    report = wipe()
    assert report.labs == (lab,)
    assert report.removed["namespaces"] == 1
    assert shell.wait(timeout=5) == -signal.SIGKILL
    assert lab not in remains.find()


@pytest.mark.lab
def test_labs_of_another_state_directory_are_let_be(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lab.create(backend="netns", run_dir=state) as made:
        lab = made.id
    namespaces.create(remains.namespace_name(lab, "www"))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv(labstate.STATE_VARIABLE, str(tmp_path / "other"))
        assert wipe().labs == ()
    assert wipe().labs == (lab,)


class _Engine(http.server.BaseHTTPRequestHandler):
    """Two containers of a lab and a network of another, as the engine's API tells of them."""

    protocol_version = "HTTP/1.1"
    labs: ClassVar = {"/containers/json": ["0a0b0c0d", "0a0b0c0d"], "/networks": ["01020304"]}
    removed: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        [label] = json.loads(parse_qs(url.query)["filters"][0])["label"]
        key, _, lab = label.partition("=")
        assert key == "gsta.lab"
        found = [name for name in self.labs[url.path] if lab in ("", name)]
        self._answer(200, [{"Id": f"id-{lab}", "Labels": {"gsta.lab": lab}} for lab in found])

    def do_DELETE(self) -> None:
        self.removed.append(self.path)
        self._answer(204 if self.path.startswith("/containers") else 500, "in use")

    def _answer(self, status: int, value: object) -> None:
        body = b"" if status == 204 else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def engine_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine'}")
    return tmp_path / "engine"


@pytest.fixture
def answering_engine(engine_socket: Path) -> Iterator[None]:
    with socketserver.ThreadingUnixStreamServer(str(engine_socket), _Engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("answering_engine")
def test_the_engine_is_asked_by_label() -> None:
    assert engine.find() == {"0a0b0c0d", "01020304"}
    assert engine.remove("0a0b0c0d") == {"containers": 2, "networks": 0}
    assert _Engine.removed == ["/containers/id-0a0b0c0d?force=1&v=1"] * 2


@pytest.mark.usefixtures("answering_engine")
def test_what_the_engine_will_not_remove_is_an_error() -> None:
    with pytest.raises(LabError, match=r"networks of lab 01020304 could not .* 500 \"in use\""):
        engine.remove("01020304")


def test_no_engine_has_nothing(engine_socket: Path) -> None:
    assert not engine_socket.exists()
    assert engine.find() == set()
    assert engine.remove("0a0b0c0d") == {}


def test_an_engine_that_does_not_answer_is_no_obstacle(
    engine_socket: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(engine_socket))
        assert engine.find() == set()
    assert "does not answer" in caplog.text
