"""A lab over two machines: one run directory of both; nothing left on either, however it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import dpkt
import pytest

from gsta.labs import run_lab
from launcher import cgroups, labs
from launcher.docker import connect
from launcher.images import BASE_IMAGE, ensure_image, image_tag
from launcher.namespaces import entered
from launcher.records import Manifest
from launcher.rundir import read_evidence, read_journal, read_manifest
from launcher.scaleout.engines import load_engines
from launcher.scaleout.tunnels import merges
from tests.launcher.faulty_labs import traces
from tests.launcher.scaleout.machines import (
    ROOT,
    Machine,
    engine_of,
    environment,
    two_machines,
    write_engines,
)
from topologies import load_topology
from topologies.errors import GstaError, LabError, MachineError

pytestmark = pytest.mark.lab

# Sessions begin in the first phase, and the run ends with the last of them.
# A home behind NAT and its provider on one machine, the impaired servers on the other: whatever is
# asked for crosses a long cable, and its owner is known before and behind the NAT.
TOPOLOGY = """
name: apart
networks:
  home: {subnet: 198.18.1.0/24}
  access: {subnet: 198.18.2.0/24}
  servers: {subnet: 198.18.3.0/24}
routers:
  box: {networks: [access, home], nat: {outside: access}}
  edge: {networks: [access, servers]}
hosts:
  client: {networks: [home], count: 2}
  web: {networks: [servers]}
  names: {networks: [servers]}
services:
  www: {kind: web, host: web}
  resolver: {kind: dns, host: names}
activities:
  browsing:
    kind: web
    hosts: [client]
    services: [www]
    session_s: 2
    arrival: {distribution: constant, value_s: 1}
  asking:
    kind: dns
    hosts: [client]
    services: [resolver]
    session_s: 2
    arrival: {distribution: constant, value_s: 1}
phases: [{name: busy, duration_s: SECONDS}, {name: quiet, duration_s: 60, intensity: 0}]
captures: [home, access, servers, "edge:eth1"]
"""
IMPAIRED = TOPOLOGY.replace("3.0/24}", "3.0/24, impairments: {delay_ms: 4}}")
SOON_S = 40.0
MARK_OF_TWO = hashlib.sha256(b"/run/gsta-two").hexdigest()[:4]  # what its labs' names begin with


@pytest.fixture(autouse=True)
def _own_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "parts").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "parts"))


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    with two_machines() as both:
        yield both


def written(
    folder: Path, machines: tuple[Machine, Machine], *, seconds: float, text: str = TOPOLOGY
) -> tuple[Path, Path]:
    """The files of a topology and of its engines."""
    topology = folder / "topology.yaml"
    topology.write_text(text.replace("SECONDS", str(seconds)))
    one, two = machines
    entries = {"one": one.engine(["home", "access"]), "two": two.engine(["servers"])}
    return topology, write_engines(folder / "engines.yaml", entries)


def run_apart(
    folder: Path,
    machines: tuple[Machine, Machine],
    *,
    backend: str = "netns",
    seconds: float = 3,
    text: str = TOPOLOGY,
    progress: Callable[[str, float, float], None] = lambda *_: None,
) -> Path:
    topology, engines = written(folder, machines, seconds=seconds, text=text)
    document = load_topology(str(topology))
    return run_lab(
        document,
        seed=1,
        out=folder / "run",
        backend=backend,
        progress=progress,
        engines=load_engines(engines, document.model.networks),
    )


def left_on(machines: tuple[Machine, Machine], folder: Path) -> list[str]:
    """What there is of labs on both."""
    two = machines[1]
    kept = two.do("sh", "-c", "ls /run/gsta-two/labs 2>/dev/null || true").split()
    groups = [lab for lab in cgroups.leftovers() if lab.startswith(MARK_OF_TWO)]
    parts = [part.name for part in (folder / "parts").glob("gsta-part-*")]
    return [*traces(folder), *two.namespaces(), *kept, *groups, *parts]


def flows_in(capture: Path) -> set[frozenset[tuple[str, int]]]:
    """Both ends of every TCP and UDP flow in a capture."""
    found = set()
    with capture.open("rb") as stream:
        for _, data in dpkt.pcap.Reader(stream):
            packet = dpkt.ethernet.Ethernet(data).data
            if isinstance(packet, dpkt.ip.IP) and isinstance(
                packet.data, dpkt.tcp.TCP | dpkt.udp.UDP
            ):
                ends = ((packet.src, packet.data.sport), (packet.dst, packet.data.dport))
                found.add(frozenset((str(ip_address(a)), port) for a, port in ends))
    return found


def check_run(run: Path) -> Manifest:
    """What holds of every good run of the lab, whatever its hosts are made of."""
    manifest = read_manifest(run)
    assert (manifest.status, manifest.notes) == ("complete", ())
    # A machine that is very busy lets sessions hang; nothing else may be lost.
    assert all("sessions hung" in loss for loss in manifest.losses)
    owned = {
        frozenset(((record.src, record.sport), (record.dst, record.dport))): record.activity
        for record in read_evidence(run)
    }
    for capture in manifest.captures:
        flows = flows_in(run / capture.file)
        assert flows, capture.network
        assert all(owned.get(flow) for flow in flows), capture.network
        assert capture.dropped_by_kernel == 0
    sessions = [record for record in read_journal(run) if record.record == "activity"]
    assert {record.kind for record in sessions} == {"web", "dns"}
    assert not [record for record in sessions if record.outcome == "failed"]
    one, two = manifest.engines
    assert (one.networks, two.networks) == (("home", "access"), ("servers",))
    assert (one.hosts, two.hosts) == (("box", "edge", "client-1", "client-2"), ("web", "names"))
    for engine in manifest.engines:
        begin, end = engine.clock
        assert begin.time_ns < end.time_ns
        # One clock, in truth: it cannot be found to be farther off than the trip took.
        assert all(abs(c.ahead_ns) <= c.round_trip_ns for c in engine.clock)
    return manifest


def test_one_run_of_both_machines(tmp_path: Path, machines: tuple[Machine, Machine]) -> None:
    run = run_apart(tmp_path, machines, text=IMPAIRED)
    manifest = check_run(run)
    assert manifest.backend == "netns"
    measured = {link.node: link.measured.delay_ms for link in manifest.links}
    assert set(measured) == {"edge", "web"}  # the long cable beside its router, and one at home
    assert (run / "logs/web/service-www.log").stat().st_size > 0
    assert left_on(machines, tmp_path) == []


@pytest.mark.docker
@pytest.mark.slow
def test_containers_of_two_engines(tmp_path: Path, machines: tuple[Machine, Machine]) -> None:
    with contextlib.closing(connect()) as client:
        ensure_image(client, "base")
    with engine_of(machines[1], tmp_path, BASE_IMAGE, image_tag("base")):
        run = run_apart(tmp_path, machines, backend="docker")
        here, there = (machine.do("docker", "ps", "-aq", "--no-trunc") for machine in machines)
        assert there == ""
    manifest = check_run(run)
    assert manifest.backend == "docker"
    assert set(manifest.images) == {"one/base", "two/base"}
    hosts = {r.host: r.container for r in read_journal(run) if r.record in ("activity", "service")}
    assert not [container for container in hosts.values() if container in here]
    assert left_on(machines, tmp_path) == []


def agents_of(machine: Machine) -> list[int]:
    """Processes of ours that serve a launcher, on a machine."""
    here = Path(f"/proc/{machine.pid}/ns/net").readlink()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().split(b"\0")
            if line[-3:] == [b"lab", b"node", b""] and (process / "ns/net").readlink() == here:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def await_true(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_machine_that_goes_away(tmp_path: Path, machines: tuple[Machine, Machine]) -> None:
    evidence = tmp_path / "run/evidence.jsonl"

    def progress(what: str, _now: float, _total: float) -> None:
        if what.endswith("phase") and evidence.stat().st_size > 600:
            for pid in agents_of(machines[1]):
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(LabError, match="engine 'two' has gone away"):
        run_apart(tmp_path, machines, progress=progress)
    manifest = read_manifest(tmp_path / "run")
    assert manifest.status == "incomplete"
    assert "engine 'two' has gone away" in manifest.reason
    kept = {capture.network: capture.packets for capture in manifest.captures}
    assert kept["access"] > 0 == kept["servers"]
    assert left_on(machines, tmp_path) != []
    report = labs.wipe()
    assert report.removed["parts on other machines"] == 2
    assert left_on(machines, tmp_path) == []


def test_a_launcher_that_is_killed(tmp_path: Path, machines: tuple[Machine, Machine]) -> None:
    topology, engines = written(tmp_path, machines, seconds=3)
    run = tmp_path / "run"
    words = [sys.executable, "-m", "gsta", "lab", "run", str(topology), "--engines", str(engines)]
    words += ["--backend", "netns", "--out", str(run)]
    with subprocess.Popen(
        words, env=environment(), cwd=ROOT, stderr=subprocess.DEVNULL
    ) as launcher:
        await_true((run / "logs/web/service-www.log").exists)
        assert machines[1].namespaces()
        launcher.kill()
    await_true(lambda: not agents_of(machines[0]) and not agents_of(machines[1]))
    assert labs.wipe().run_dirs == (run,)
    assert left_on(machines, tmp_path) == []
    assert read_manifest(run).status == "incomplete"


def refusal(folder: Path, machines: tuple[Machine, Machine]) -> GstaError:
    with pytest.raises(MachineError) as told:
        run_apart(folder, machines)
    assert left_on(machines, folder) == []
    return told.value


def test_an_underlay_that_is_too_small(tmp_path: Path) -> None:
    with two_machines(mtu=1_500) as machines:
        assert "'servers' has packets of 1500 bytes" in str(refusal(tmp_path, machines))


def test_an_underlay_that_merges_frames_is_noticed() -> None:
    with two_machines() as machines, entered(Path(f"/proc/{machines[0].pid}/ns/net")):
        for state in ("on", "off"):
            machines[0].do("ethtool", "-K", "u0", "gro", state)
            assert merges("u0") == (state == "on")


def test_an_underlay_that_does_not_carry(tmp_path: Path) -> None:
    with two_machines() as machines:
        machines[1].do("ip", "link", "set", "u0", "down")
        said = str(refusal(tmp_path, machines))
    assert "the cable of 'edge' to network 'servers', from engine 'one' (198.19.255.1)" in said
    assert "let UDP port 4789 pass" in said
