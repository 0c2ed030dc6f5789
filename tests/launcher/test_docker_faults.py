"""Faults of a lab of containers: a host that dies, and the engine that goes away."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import engine, labs
from launcher.backend import Backend
from launcher.docker import DockerBackend, connect
from launcher.labs import Lab
from tests.launcher.faulty_labs import Faulty, manifest, run_faulty, traces, traffic
from topologies.errors import LabError

pytestmark = [pytest.mark.docker, pytest.mark.lab]


@pytest.fixture(autouse=True)
def _own_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path / "state"))


def make(lab: Lab, programs: Path) -> Backend:
    return DockerBackend(lab, programs=programs)


def containers() -> set[str]:
    """Labs of this test that have containers."""
    return {lab for lab in engine.find() if labs.known_here(lab)}


def test_a_container_that_is_killed(tmp_path: Path) -> None:
    def stop(faulty: Faulty) -> None:
        with contextlib.closing(connect()) as client:
            client.containers.get(f"gsta-{faulty.lab.id}-client-1").kill()

    faulty = run_faulty(tmp_path, breaks=stop, when=traffic, busy_s=4, make=make)
    said = manifest(faulty.out)
    assert said["status"] == "complete"
    assert "host 'client-1' has died" in " ".join(said["losses"])
    assert said["captures"][0]["packets"] > 0
    assert containers() == set()
    assert traces(tmp_path) == []


class Line:
    """A socket to the engine that can be cut, with everything that goes through it."""

    def __init__(self, place: Path, to: Path) -> None:
        self.place, self._to = place, to
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place))
        self._listener.listen(64)
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """From now on nobody answers."""
        self.place.unlink(missing_ok=True)
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def close(self) -> None:
        self.cut()
        for end in (self._listener, *self._open):
            end.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self._to))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    real = engine.socket_path()
    assert real is not None
    made = Line(tmp_path / "engine.sock", real)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{made.place}")
    yield made
    made.close()


def test_an_engine_that_goes_away(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError, match="the container engine has gone away"):
        run_faulty(tmp_path, breaks=lambda _: line.cut(), when=traffic, busy_s=4, make=make)
    said = manifest(tmp_path / "run")
    assert said["status"] == "incomplete"
    assert "gsta lab wipe" in said["reason"]
    assert said["captures"][0]["packets"] > 0
    # Nothing of it runs. Only what the engine keeps is left, which it removes when it can be asked.
    monkeypatch.delenv("DOCKER_HOST")
    labs.wipe()
    deadline = time.monotonic() + 20
    while containers():  # the engine itself may be at removing them
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with warnings.catch_warnings():
        # The engine's library leaves a socket open that it could not connect.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert traces(tmp_path) == []


def test_ctrl_c_while_containers_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_faulty(
            tmp_path,
            breaks=lambda _: os.kill(os.getpid(), signal.SIGINT),
            when=traffic,
            make=make,
        )
    assert manifest(tmp_path / "run")["status"] == "incomplete"
    assert containers() == set()
    assert traces(tmp_path) == []
