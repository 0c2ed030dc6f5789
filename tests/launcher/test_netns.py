"""The embedded back end: what a program in a host sees, may do, and how it ends."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import namespaces, remains
from launcher.addressing import lab_plan
from launcher.backend import Backend, Command, FlowEvent, Process
from launcher.capture import CaptureOptions
from launcher.labs import Lab
from launcher.netns import NetnsBackend
from launcher.plan import LabPlan
from topologies import Topology
from topologies.errors import LabError

pytestmark = pytest.mark.lab

OWNER = 23_456
CAP_DAC_READ_SEARCH, CAP_NET_RAW = 2, 13

PROGRAMS = {
    # What a process can tell about itself.
    "self": """
import json, os, socket, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "arguments": sys.argv[1:],
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privs": status["NoNewPrivs"],
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "session": os.getsid(0) == os.getpid(),
    "name": socket.gethostname(),
    "peer": socket.gethostbyname("server"),
    "groups": open("/proc/self/cgroup").read(),
    "environment": dict(os.environ),
}))
""",
    # A server that, told to end, says so; and a child of it that will not listen.
    "serve": """
import os, signal, socket, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("child", os.getpid(), flush=True)
    time.sleep(600)
listener = socket.create_server(("", 80))
signal.signal(signal.SIGTERM, lambda *_: (print("told to end", flush=True), os._exit(7)))
print("ready", flush=True)
while True:
    listener.accept()[0].sendall(b"hello")
""",
    "fetch": """
import socket
print(socket.create_connection(("server", 80), timeout=10).recv(5).decode())
""",
    "stubborn": """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
""",
    # How many children it can have, up to 60.
    "many": """
import os, time
children = 0
try:
    while children < 60:
        if os.fork() == 0:
            time.sleep(600)
        children += 1
except BlockingIOError:
    pass
print(children, flush=True)
os._exit(0)
""",
    "outside": """
import socket
for name in ("example.com", "localhost.localdomain"):
    try:
        print(socket.gethostbyname(name))
    except socket.gaierror:
        print("unknown")
""",
}


@pytest.fixture
def plan() -> LabPlan:
    topology = {
        "name": "pair",
        "networks": {"lan": {"subnet": "198.18.9.0/24"}},
        "hosts": {
            "client": {"networks": ["lan"], "limits": {"pids": 40, "memory_mb": 64}},
            "server": {"networks": ["lan"]},
        },
    }
    return lab_plan(Topology.model_validate(topology))


@pytest.fixture
def backend(plan: LabPlan, tmp_path: Path) -> Iterator[NetnsBackend]:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / f"{name}.py").write_text(text)
    with Lab.create(backend="netns", run_dir=tmp_path / "run") as lab:
        backend = NetnsBackend(lab, programs=programs)
        try:
            names = backend.up(plan, tmp_path / "run")
            assert names == {h: f"gsta-{lab.id}-{h}" for h in ("client", "server")}
            yield backend
        finally:
            backend.down()


def spawn(backend: Backend, host: str, program: str, *arguments: str) -> Process:
    return backend.spawn(
        host,
        Command(program, arguments, OWNER, f"{program}.log", environment={"EXTRA": "yes"}),
    )


def await_exit(process: Process) -> int:
    deadline = time.monotonic() + 20
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


def await_line(log: Path, word: str) -> str:
    deadline = time.monotonic() + 20
    while True:
        for line in log.read_text().splitlines() if log.exists() else ():
            if word in line:
                return line
        assert time.monotonic() < deadline, f"no '{word}' in {log}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_what_a_program_sees(
    backend: NetnsBackend, plan: LabPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert await_exit(spawn(backend, "client", "self", "client", '{"seed": 1}')) == 0
    seen = json.loads((tmp_path / "run/logs/client/self.log").read_text())
    assert seen["arguments"] == ["client", '{"seed": 1}']
    assert seen["capabilities"] == 1 << CAP_DAC_READ_SEARCH | 1 << CAP_NET_RAW
    assert seen["no_new_privs"] == "1"
    assert seen["ids"] == [0, OWNER, []]
    assert seen["session"]
    assert seen["name"] == "client"
    assert seen["peer"] == str(plan.node("server").links[0].address)
    assert "/client\n" in seen["groups"]
    assert seen["environment"]["EXTRA"] == "yes"
    assert "https_proxy" not in seen["environment"]


def test_names_outside_the_lab_are_unknown(backend: NetnsBackend, tmp_path: Path) -> None:
    assert await_exit(spawn(backend, "client", "outside")) == 0
    assert (tmp_path / "run/logs/client/outside.log").read_text() == "unknown\nunknown\n"


def test_a_client_talks_to_a_server_which_ends_when_told(
    backend: NetnsBackend, tmp_path: Path
) -> None:
    logs = tmp_path / "run/logs"
    server = spawn(backend, "server", "serve")
    await_line(logs / "server/serve.log", "ready")
    child = int(await_line(logs / "server/serve.log", "child").split()[1])
    assert await_exit(spawn(backend, "client", "fetch")) == 0
    assert await_exit(spawn(backend, "client", "fetch")) == 0
    assert (logs / "client/fetch.log").read_text() == "hello\nhello\n"
    assert server.poll() is None
    assert server.stop(grace_s=10) == 7
    assert "told to end" in (logs / "server/serve.log").read_text()
    deadline = time.monotonic() + 5
    while alive(child):
        assert time.monotonic() < deadline
    assert server.stop(grace_s=10) == 7


def test_a_program_that_will_not_end_is_killed(backend: NetnsBackend, tmp_path: Path) -> None:
    process = spawn(backend, "client", "stubborn")
    await_line(tmp_path / "run/logs/client/stubborn.log", "ready")
    assert process.stop(grace_s=0.1) == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL


def test_a_program_that_does_not_exist_fails_in_its_log(
    backend: NetnsBackend, tmp_path: Path
) -> None:
    assert await_exit(spawn(backend, "client", "nonsense")) != 0
    assert "nonsense.py" in (tmp_path / "run/logs/client/nonsense.log").read_text()


def test_down_leaves_nothing_and_may_be_repeated(backend: NetnsBackend, tmp_path: Path) -> None:
    server = spawn(backend, "server", "serve")
    child = int(await_line(tmp_path / "run/logs/server/serve.log", "child").split()[1])
    capture = backend.capture("lan", tmp_path / "run/captures/lan.pcap", CaptureOptions())
    lab = next(name for name in namespaces.names("gsta-") if name.endswith("-server")).split("-")[1]
    backend.down()
    assert server.poll() == -signal.SIGKILL
    assert not alive(child)
    assert lab not in remains.find()
    assert "capture of network 'lan' ended early" in capture.stop().lost
    backend.down()


def test_captures_and_evidence_come_from_the_lab(backend: NetnsBackend, tmp_path: Path) -> None:
    seen: list[FlowEvent] = []
    watch = backend.watch(seen.append)
    capture = backend.capture("lan", tmp_path / "run/captures/lan.pcap", CaptureOptions())
    spawn(backend, "server", "serve")
    await_line(tmp_path / "run/logs/server/serve.log", "ready")
    assert await_exit(spawn(backend, "client", "fetch")) == 0
    record = capture.stop()
    assert watch.stop() == 0
    assert record.file == "captures/lan.pcap"
    assert record.packets >= 6
    assert [
        (e.what, e.host, e.protocol, e.dport, e.owner) for e in seen if e.what != "accepted"
    ] == [
        ("opened", "client", 6, 80, OWNER),
        ("ended", "client", 6, 80, OWNER),
    ]


def test_before_the_lab_is_up_there_is_nothing_to_use(tmp_path: Path) -> None:
    with Lab.create(backend="netns", run_dir=tmp_path) as lab:
        backend = NetnsBackend(lab)
        with pytest.raises(LabError, match=f"lab {lab.id} is not up"):
            backend.capture("lan", tmp_path / "lan.pcap", CaptureOptions())
        with pytest.raises(LabError, match=f"lab {lab.id} has no host 'client' that is up"):
            spawn(backend, "client", "self")
        backend.down()


def test_limits_hold_or_are_noted(backend: NetnsBackend, tmp_path: Path) -> None:
    """A host may have 40 processes; where the kernel cannot see to that, the notes say so."""
    assert await_exit(spawn(backend, "client", "many")) == 0
    children = int((tmp_path / "run/logs/client/many.log").read_text())
    unlimited = any("pids" in note or "without limits" in note for note in backend.notes)
    assert children == 60 if unlimited else 30 < children < 40
