"""The Docker back end on a real engine: two LANs, a router; what a program sees and may do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher import labs, namespaces, remains
from launcher.addressing import lab_plan
from launcher.backend import Command, FlowEvent, Process
from launcher.capture import CaptureOptions
from launcher.conntrack import BY_BOTH
from launcher.docker import DockerBackend, connect
from launcher.images import ensure_image, image_tag, require_base
from launcher.labs import Lab
from launcher.plan import LabPlan
from topologies import Topology
from topologies.errors import MachineError

pytestmark = pytest.mark.docker

OWNER = 23_456
CAP_NET_RAW = 1 << 13
FLOWS = 40

PROGRAMS = {
    "self": """
import json, os, socket, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
def writable(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    return True
print(json.dumps({
    "arguments": sys.argv[1:],
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privs": status["NoNewPrivs"],
    "group": os.getgid(),
    "leader": os.getpgrp() == os.getpid(),
    "name": socket.gethostname(),
    "peer": socket.gethostbyname("server"),
    "extra": os.environ["EXTRA"],
    "writable": [path for path in ("/x", "/etc/x", "/opt/gsta/x", "/tmp/x") if writable(path)],
}))
""",
    "serve": """
import os, signal, socket, time
listener = socket.create_server(("", 80), backlog=256)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
print("listening now", flush=True)
while True:
    with listener.accept()[0] as accepted:
        accepted.sendall(b"hello")
""",
    "fetch": f"""
import json, socket
ports = []
for _ in range({FLOWS}):
    with socket.create_connection(("server", 80), timeout=10) as s:
        assert s.recv(5) == b"hello"
        ports.append(s.getsockname()[1])
print(json.dumps(ports))
""",
    "stubborn": """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
""",
    "many": """
import os, signal, time
children = []
try:
    while len(children) < 60:
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        children.append(child)
except BlockingIOError:
    pass
print(len(children), flush=True)
for child in children:  # or nothing else could be started on this host
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
os._exit(0)
""",
    "eat": """
kept = []
for _ in range(200):
    kept.append(bytearray(1 << 20))
print("ate it all")
""",
    "outside": """
import errno, socket
for address in ("172.17.0.1", "192.0.2.1", "198.18.200.1", "1.1.1.1"):
    try:
        socket.create_connection((address, 80), timeout=3)
        print("reached", address)
    except OSError as error:
        print(errno.errorcode.get(error.errno, error))
try:
    print(socket.gethostbyname("example.com"))
except socket.gaierror:
    print("unknown")
""",
}


@dataclass(frozen=True)
class Living:
    lab: Lab
    plan: LabPlan
    backend: DockerBackend
    run_dir: Path
    containers: dict[str, str]

    def spawn(self, host: str, program: str, *arguments: str, owner: int = OWNER) -> Process:
        log = f"{program}-{owner}.log"
        return self.backend.spawn(
            host, Command(program, arguments, owner, log, environment={"EXTRA": "yes"})
        )

    def log(self, host: str, program: str, owner: int = OWNER) -> Path:
        return self.run_dir / "logs" / host / f"{program}-{owner}.log"

    def output(self, host: str, program: str, *arguments: str) -> str:
        process = self.spawn(host, program, *arguments)
        code = await_exit(process)
        text = self.log(host, program).read_text()
        assert code == 0, text
        return text


def lan_plan() -> LabPlan:
    topology = {
        "name": "pair",
        "networks": {
            "office": {"subnet": "198.18.1.0/24"},
            "servers": {"subnet": "198.18.2.0/24"},
        },
        "routers": {"core": {"networks": ["office", "servers"]}},
        "hosts": {
            "client": {
                "networks": ["office"],
                "count": 2,
                "limits": {"pids": 40, "memory_mb": 64, "cpus": 0.5},
            },
            "server": {"networks": ["servers"]},
        },
    }
    return lab_plan(Topology.model_validate(topology))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name, text in PROGRAMS.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[Living]:
    run_dir = tmp_path_factory.mktemp("run")
    plan = lan_plan()
    with Lab.create(backend="docker", run_dir=run_dir) as lab:
        backend = DockerBackend(lab, programs=programs)
        try:
            containers = dict(backend.up(plan, run_dir))
            yield Living(lab, plan, backend, run_dir, containers)
        finally:
            backend.down()
    assert left_of(lab.id) == []
    backend.down()  # twice does no harm


def left_of(lab: str) -> list[str]:
    client = connect()
    names = [c.name for c in client.containers.list(all=True, filters={"label": f"gsta.lab={lab}"})]
    names += [n.name for n in client.networks.list(filters={"label": f"gsta.lab={lab}"})]
    client.close()
    return names + list(namespaces.names(remains.namespace_name(lab, "")))


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def await_exit(process: Process) -> int:
    deadline = time.monotonic() + 30
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


def await_line(log: Path, word: str) -> None:
    deadline = time.monotonic() + 20
    while not (log.exists() and word in log.read_text()):
        assert time.monotonic() < deadline, f"no '{word}' in {log}"
        time.sleep(0.01)


def test_every_host_is_a_container_with_its_image(living: Living) -> None:
    assert set(living.containers) == {"core", "client-1", "client-2", "server"}
    assert all(len(identity) == 64 for identity in living.containers.values())
    assert living.backend.images["base"].startswith("sha256:")


def test_what_a_program_is_and_may(living: Living) -> None:
    seen = json.loads(living.output("client-1", "self", "client", '{"a": "b c"}'))
    assert seen == {
        "arguments": ["client", '{"a": "b c"}'],
        "capabilities": CAP_NET_RAW,
        "no_new_privs": "1",
        "group": OWNER,
        "leader": True,
        "name": "client-1",
        "peer": str(living.plan.node("server").links[0].address),
        "extra": "yes",
        "writable": ["/tmp/x"],  # noqa: S108
    }


def test_a_router_has_no_capability_at_all(living: Living) -> None:
    assert json.loads(living.output("core", "self"))["capabilities"] == 0


def test_limits_are_enforced(living: Living) -> None:
    assert 20 < int(living.output("client-2", "many")) < 40
    eater = living.spawn("client-1", "eat")
    assert await_exit(eater) == 128 + signal.SIGKILL
    assert "ate" not in living.log("client-1", "eat").read_text()
    client = connect()
    limits = client.containers.get(living.containers["client-1"]).attrs["HostConfig"]
    client.close()
    assert (limits["NanoCpus"], limits["Memory"], limits["PidsLimit"]) == (
        500_000_000,
        64 << 20,
        40,
    )
    assert (limits["Privileged"], limits["AutoRemove"]) == (False, True)


def test_nothing_outside_can_be_reached(living: Living) -> None:
    assert living.output("server", "outside").split() == ["ENETUNREACH"] * 4 + ["unknown"]


def test_flows_through_the_router_are_captured_and_owned(living: Living) -> None:
    events: list[FlowEvent] = []
    server = living.spawn("server", "serve", owner=30_000)
    await_line(living.log("server", "serve", 30_000), "listening now")
    watch = living.backend.watch(events.append)
    captures = {
        network: living.backend.capture(
            network, living.run_dir / "captures" / f"{network}.pcap", CaptureOptions()
        )
        for network in ("office", "servers")
    }
    owners = {31_001: "client-1", 31_002: "client-1", 31_003: "client-2"}
    clients = {owner: living.spawn(host, "fetch", owner=owner) for owner, host in owners.items()}
    assert [await_exit(process) for process in clients.values()] == [0, 0, 0]
    records = {network: capture.stop() for network, capture in captures.items()}
    assert watch.stop() == 0
    opened = {
        (host, port, owner)
        for owner, host in owners.items()
        for port in json.loads(living.log(host, "fetch", owner).read_text())
    }
    begun = [e for e in events if e.what == "opened"]
    assert {(e.host, e.sport, e.owner) for e in begun} == opened
    assert len(opened) == 3 * FLOWS
    assert {(e.protocol, e.dport) for e in begun} == {(6, 80)}
    if watch.mechanism == BY_BOTH:  # the machine has control groups that flows can be told by
        assert all(e.second == e.owner for e in begun)
    for network, record in records.items():
        assert record.file == f"captures/{network}.pcap"
        # At least the handshake, the data and the end of each flow.
        assert record.packets >= 7 * 3 * FLOWS
        assert record.dropped_by_kernel == record.dropped_by_interface == 0
    assert server.stop(5) == 7


def test_stopping_takes_children_along(living: Living) -> None:
    server = living.spawn("server", "serve")
    await_line(living.log("server", "serve"), "listening now")
    assert server.poll() is None
    assert server.stop(5) == 7
    assert server.stop(5) == 7
    stubborn = living.spawn("client-2", "stubborn")
    await_line(living.log("client-2", "stubborn"), "ready")
    assert stubborn.stop(0.1) == 128 + signal.SIGKILL
    client = connect()
    running = client.containers.get(living.containers["client-2"]).top()["Processes"]
    client.close()
    assert not any("stubborn" in " ".join(process) for process in running)


def test_a_missing_program_says_so_in_its_log(living: Living) -> None:
    process = living.spawn("server", "nonsense")
    assert await_exit(process) == 2
    assert "nonsense.py" in living.log("server", "nonsense").read_text()


LAUNCHER = """
import sys, time
from pathlib import Path
from launcher.backend import Command
from launcher.capture import CaptureOptions
from launcher.docker import DockerBackend
from launcher.labs import Lab
from tests_plan import lan_plan
run = Path(sys.argv[1])
lab = Lab.create(backend="docker", run_dir=run)
backend = DockerBackend(lab, programs=Path(sys.argv[2]))
plan = lan_plan()
backend.up(plan, run)
backend.spawn("server", Command("serve", (), 30_000, "serve.log"))
backend.watch(print)
backend.capture("office", run / "captures" / "office.pcap", CaptureOptions())
print(lab.id, flush=True)
time.sleep(600)
"""


def test_a_killed_launcher_leaves_nothing_after_a_wipe(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "tests_plan.py").write_text(
        "from launcher.addressing import lab_plan\nfrom topologies import Topology\n"
        "def lan_plan():\n"
        "    return lab_plan(Topology.model_validate({'name': 'x', 'networks': {'office': "
        "{'subnet': '198.18.5.0/24'}}, 'hosts': {'client': {'networks': ['office'], 'count': 5}, "
        "'server': {'networks': ['office']}}}))\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path / "run"), str(programs)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))},
    )
    with launcher:
        assert launcher.stdout is not None
        lab = launcher.stdout.readline().strip()
        assert len(left_of(lab)) == 6 + 1
        fabric = [namespaces.path_of(remains.fabric_name(lab))]
        capture = namespaces.processes_in(fabric)
        assert len(capture) == 1
        launcher.kill()
    report = labs.wipe()
    assert lab in report.labs
    assert report.removed["containers"] >= 6
    assert left_of(lab) == []
    assert not any(alive(pid) for pid in capture)


def test_an_image_is_built_once(living: Living) -> None:
    client = connect()
    first = ensure_image(client, "base")
    begin = time.monotonic()
    assert ensure_image(client, "base") == first == client.images.get(image_tag("base")).id
    assert time.monotonic() - begin < 1
    client.close()


def test_without_the_base_image_the_message_names_the_script() -> None:
    client = connect()
    try:
        with pytest.raises(MachineError, match=r"debian:no-such-tag .* scripts/base-image"):
            require_base(client, image="debian:no-such-tag")
    finally:
        client.close()
