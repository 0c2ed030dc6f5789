"""Labs on Docker's own networks, made by a user who is not root and may only use the engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import engine
from launcher.addressing import lab_plan
from launcher.docker import connect
from launcher.docker_native import DockerNativeBackend
from launcher.labs import Lab
from launcher.plan import LabPlan
from topologies import Topology
from topologies.errors import MachineError

pytestmark = pytest.mark.docker

USER = 65_534

PROGRAMS = {
    "serve": """
import os, signal, socket
listener = socket.create_server(("", 80), backlog=256)
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
print("listening now", flush=True)
while True:
    with listener.accept()[0] as accepted:
        accepted.sendall(b"x" * 100_000)
""",
    "fetch": """
import errno, json, os, socket
ports = []
for _ in range(40):
    with socket.create_connection(("server", 80), timeout=10) as s:
        while s.recv(65536):
            pass
        ports.append(s.getsockname()[1])
def outcome(address):
    try:
        socket.create_connection((address, 22), timeout=3)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "reached"
outside = [outcome(address) for address in ("172.17.0.1", "192.0.2.1")]
print(json.dumps({"ports": ports, "ids": [os.getuid(), os.getgid()], "outside": outside}))
""",
}

# The launcher of that user: a server, two clients, a capture and the evidence; says what it saw.
LAUNCHER = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from launcher.addressing import lab_plan
from launcher.backend import Command
from launcher.capture import CaptureOptions
from launcher.docker_native import DockerNativeBackend
from launcher.labs import Lab
from topologies import Topology
run, programs = Path(sys.argv[1]), Path(sys.argv[2])
plan, wait = json.loads(sys.argv[3]), sys.argv[4]
def finish(process):
    while process.poll() is None:
        time.sleep(0.01)
    return process.poll()
with Lab.create(backend="docker", run_dir=run) as lab:
    backend = DockerNativeBackend(lab, programs=programs)
    try:
        backend.up(lab_plan(Topology.model_validate(plan)), run)
        events = []
        watch = backend.watch(events.append)
        capture = backend.capture("lan", run / "captures" / "lan.pcap", CaptureOptions())
        server = backend.spawn("server", Command("serve", (), 30_000, "serve.log"))
        log = run / "logs/server/serve.log"
        while not (log.exists() and "listening now" in log.read_text()):
            time.sleep(0.01)
        if wait == "wait":
            print(lab.id, flush=True)
            time.sleep(600)
        clients = [
            backend.spawn(f"client-{n}", Command("fetch", (), 31_000 + n, "fetch.log"))
            for n in (1, 2)
        ]
        codes = [finish(client) for client in clients]
        record = capture.stop()
        print(json.dumps({
            "lab": lab.id,
            "codes": codes,
            "server": server.stop(5),
            "lost": watch.stop(),
            "events": [[e.host, e.sport, e.owner] for e in events if e.what == "opened"],
            "said": [json.loads((run / f"logs/client-{n}/fetch.log").read_text()) for n in (1, 2)],
            "capture": record.model_dump(),
        }))
    finally:
        backend.down()
"""

PLAN = {
    "name": "pair",
    "networks": {"lan": {"subnet": "198.18.77.0/24"}},
    "hosts": {"client": {"networks": ["lan"], "count": 2}, "server": {"networks": ["lan"]}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the programs, and places where that user may write."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / f"{name}.py").write_text(text)
    for name in ("run", "state"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, USER, USER)
    return tmp_path


def start(folder: Path, wait: str) -> subprocess.Popen[str]:
    """The launcher as that user, who may read (root's Python, say) but do nothing else more."""
    socket = engine.socket_path()
    assert socket is not None
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}"]
    become += [f"--groups={socket.stat().st_gid}", "--bounding-set=-all,+dac_read_search"]
    become += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    arguments = [str(folder / "run"), str(folder / "programs"), json.dumps(PLAN), wait]
    return subprocess.Popen(
        [*become, sys.executable, "-c", LAUNCHER, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "GSTA_STATE_DIR": str(folder / "state"),
        },
    )


def left_of(lab: str) -> list[str]:
    client = connect()
    label = {"label": f"gsta.lab={lab}"}
    names = [str(c.name) for c in client.containers.list(all=True, filters=label)]
    names += [str(n.name) for n in client.networks.list(filters=label)]
    client.close()
    return names


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_lab_without_root(folder: Path) -> None:
    launcher = start(folder, "no")
    out, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 0
    seen = json.loads(out)
    assert seen["codes"] == [0, 0]
    assert (seen["server"], seen["lost"]) == (7, 0)
    opened = {
        (f"client-{n}", port, 31_000 + n)
        for n, said in enumerate(seen["said"], 1)
        for port in said["ports"]
    }
    assert len(opened) == 80
    assert {tuple(event) for event in seen["events"]} >= opened
    assert [said["ids"] for said in seen["said"]] == [[USER, 31_001], [USER, 31_002]]
    # Docker names a way out, but nobody is there.
    outside = {outcome for said in seen["said"] for outcome in said["outside"]}
    assert outside <= {"ENETUNREACH", "EHOSTUNREACH", "timed out"}
    record = seen["capture"]
    assert record["dropped_by_kernel"] == record["dropped_by_interface"] == 0
    assert record["packets"] > 80 * (100_000 / 1_448)  # frames as on a wire: no super-packets
    file = folder / "run" / record["file"]
    assert file.stat().st_uid == USER
    assert left_of(seen["lab"]) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_killed_launcher_without_root_leaves_nothing_after_a_wipe(folder: Path) -> None:
    launcher = start(folder, "wait")
    with launcher:
        assert launcher.stdout is not None
        lab = launcher.stdout.readline().strip()
        assert len(left_of(lab)) == 3 + 3 + 1 + 1
        launcher.send_signal(signal.SIGKILL)
    engine.remove(lab)
    assert left_of(lab) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {
                "networks": {
                    "lan": {"subnet": "198.18.1.0/24"},
                    "far": {"subnet": "198.18.2.0/24"},
                },
                "routers": {"core": {"networks": ["lan", "far"]}},
            },
            "router 'core' cannot be made: .*; run as root",
        ),
        (
            {"networks": {"lan": {"subnet": "198.18.1.0/24", "impairments": {"rate_mbit": 10}}}},
            "network 'lan' cannot be impaired .*; run as root",
        ),
    ],
)
def test_what_takes_root_is_refused_before_anything_is_made(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    plan: LabPlan = lab_plan(Topology.model_validate(PLAN | change))
    with Lab.create(backend="docker", run_dir=tmp_path) as lab:
        backend = DockerNativeBackend(lab)
        try:
            with pytest.raises(MachineError, match=message):
                backend.up(plan, tmp_path)
            assert left_of(lab.id) == []
        finally:
            backend.down()
