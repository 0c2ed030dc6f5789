"""Impaired links of a real lab: what a packet meets, what the probe says of it, what changes."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher import namespaces
from launcher.addressing import lab_plan
from launcher.impair import USER_SPACE, kernel_has
from launcher.impair.schedule import LinkSchedule
from launcher.impair.verify import verify
from launcher.labs import Lab
from launcher.netns import NetnsBackend
from launcher.plan import LabPlan
from launcher.records import ImpairmentRecord, VerifiedLink
from launcher.run import run_experiment
from launcher.rundir import read_journal, read_manifest
from topologies import Topology
from topologies.document import parse_yaml, validate
from topologies.errors import LabError, MachineError
from topologies.impairments import Impairments, Quality, Stage

pytestmark = pytest.mark.lab

FRAMES = 200  # as many small ones wait in a socket's buffer


def plan_of(impairments: dict[str, object], *, mtu: int = 1_500, hosts: int = 2) -> LabPlan:
    topology = {
        "name": "impaired",
        "networks": {"lan": {"subnet": "198.18.21.0/24", "mtu": mtu, "impairments": impairments}},
        "hosts": {"host": {"networks": ["lan"], "count": hosts}},
    }
    return lab_plan(Topology.model_validate(topology))


@contextmanager
def lab_of(plan: LabPlan, folder: Path) -> Iterator[NetnsBackend]:
    with Lab.create(backend="netns", run_dir=folder) as lab:
        backend = NetnsBackend(lab)
        try:
            backend.up(plan, folder)
            yield backend
        finally:
            backend.down()


@contextmanager
def udp_pair(backend: NetnsBackend) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket in host-1, connected, and one in host-2."""
    lab = backend._lab.id
    handles = []
    for host in (1, 2):
        with namespaces.entered(namespaces.path_of(f"gsta-{lab}-host-{host}")):
            handles.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender, receiver = handles
    with sender, receiver:
        receiver.bind(("198.18.21.2", 7_000))
        receiver.settimeout(2)
        sender.connect(("198.18.21.2", 7_000))
        yield sender, receiver


def numbers_lost(backend: NetnsBackend) -> set[int]:
    with udp_pair(backend) as (sender, receiver):
        for number in range(FRAMES):
            sender.send(struct.pack("!I", number))
        sender.send(b"last" * 2)
        receiver.settimeout(1)
        seen = set()
        try:
            while len(data := receiver.recv(2_000)) == 4:
                seen.add(struct.unpack("!I", data)[0])
        except TimeoutError:
            pass  # the last one was lost
    return set(range(FRAMES)) - seen


def measured(links: tuple[VerifiedLink, ...], direction: str) -> VerifiedLink:
    return next(link for link in links if link.direction == direction)


def test_the_probe_finds_what_was_asked_for(tmp_path: Path) -> None:
    asked = {
        "rate_mbit": 20,
        "delay_ms": 40,
        "jitter_ms": 4,
        "loss_percent": 8,
        "duplicate_percent": 6,
        "reorder_percent": 5,
        "up": {"delay_ms": 15, "loss_percent": 20, "loss_burst_packets": 2, "rate_mbit": 5},
    }
    with lab_of(plan_of(asked), tmp_path) as backend:
        links = verify(backend.links)
        assert backend.links.overrun() == 0
    mechanism = "netem" if kernel_has("netem") and kernel_has("tbf") else USER_SPACE
    assert [(link.network, link.node, link.mechanism) for link in links] == [
        ("lan", "host-1", mechanism)
    ] * 2
    down, up = (measured(links, d).measured for d in ("down", "up"))
    # `verify` has held all of it against its tolerances; what it said is not by accident.
    assert down.delay_ms is not None
    assert up.delay_ms is not None
    assert up.delay_ms + 10 < down.delay_ms
    assert 1 < down.loss_percent < 18
    assert 5 < up.loss_percent < 40
    assert down.duplicate_percent > 1 > up.duplicate_percent
    assert down.reorder_percent > 1
    assert measured(links, "up").asked.rate_mbit == 5
    assert up.rate_mbit == pytest.approx(5, rel=0.4)


def test_a_gross_difference_is_an_error(tmp_path: Path) -> None:
    with lab_of(plan_of({"delay_ms": 1}), tmp_path) as backend:
        lie = Quality(delay_ms=200, loss_percent=40)
        backend.links.stages["lan"] = (Stage(0, lie, Quality()),)
        with pytest.raises(MachineError) as told:
            verify(backend.links)
    said = str(told.value)
    assert "network 'lan', down" in said
    assert "delay_ms was to be within 159 and 270, a probe found" in said
    assert "loss_percent was to be within" in said
    assert "docs/impairments.md" in told.value.remedy


def test_the_same_seed_loses_the_same_packets(tmp_path: Path) -> None:
    plan = plan_of({"loss_percent": 10, "loss_burst_packets": 3})
    lost = []
    for run in ("one", "two"):
        with lab_of(plan, tmp_path / run) as backend:
            if backend.links.mechanism["lan"] != USER_SPACE:
                pytest.skip("netem draws anew each time before Linux 6.6")
            with udp_pair(backend) as (sender, receiver):
                # Whoever has to ask for an address first may have the question lost.
                sender.send(b"a")
                receiver.settimeout(10)
                while receiver.recv(10) != b"a":
                    pass
            backend.links.restart()
            lost.append(numbers_lost(backend))
    assert lost[0] == lost[1]
    assert 3 < len(lost[0]) < 80


def test_the_mtu_holds_on_an_impaired_link(tmp_path: Path) -> None:
    with (
        lab_of(plan_of({"delay_ms": 1}, mtu=9_000), tmp_path) as backend,
        udp_pair(backend) as (sender, receiver),
    ):
        sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, never fragment
        sender.send(bytes(9_000 - 28))
        assert len(receiver.recv(10_000)) == 9_000 - 28
        with pytest.raises(OSError, match="too long"):
            sender.send(bytes(9_000 - 27))


def test_a_schedule_is_kept_and_written_down(tmp_path: Path) -> None:
    asked = {"rate_mbit": 50, "schedule": [{"at_s": 3, "delay_ms": 60}, {"at_s": 5, "delay_ms": 0}]}
    written: list[ImpairmentRecord] = []
    with lab_of(plan_of(asked), tmp_path) as backend, udp_pair(backend) as (sender, receiver):
        schedule = LinkSchedule(backend.links, written.append)
        delays = []
        for now_s in (0.0, 2.9, 3.1, 5.0):
            schedule.advance(now_s)
            sender.send(b"first")  # with the question for the address
            receiver.recv(10)
            began = time.monotonic()
            sender.send(b"x")
            receiver.recv(10)
            delays.append(time.monotonic() - began)
    assert [(record.network, record.at_s) for record in written] == [("lan", 3), ("lan", 5)]
    assert [record.down.delay_ms for record in written] == [60, 0]
    assert [record.up.rate_mbit for record in written] == [50, 50]
    assert delays[2] >= 0.06
    assert max(delays[0], delays[1], delays[3]) < 0.06


def test_a_rate_may_come_and_go_in_the_kernel(tmp_path: Path) -> None:
    asked = {"schedule": [{"at_s": 1, "rate_mbit": 0.5}, {"at_s": 2, "rate_mbit": "unlimited"}]}
    with lab_of(plan_of(asked), tmp_path) as backend, udp_pair(backend) as (sender, receiver):
        assert backend.links.mechanism["lan"] == ("tbf" if kernel_has("tbf") else USER_SPACE)
        schedule = LinkSchedule(backend.links, lambda _: None)
        spent = []
        for now_s in (0.0, 1.0, 2.0):
            schedule.advance(now_s)
            began = time.monotonic()
            for _ in range(8):
                sender.send(bytes(1_400))
            for _ in range(8):
                receiver.recv(2_000)
            spent.append(time.monotonic() - began)
    assert spent[1] > 5 * 1_400 * 8 / 0.5e6  # the bucket lets two pass
    assert max(spent[0], spent[2]) < spent[1]


def test_links_that_nobody_carries_any_more_are_noticed(tmp_path: Path) -> None:
    with lab_of(plan_of({"delay_ms": 1}), tmp_path) as backend:
        if backend.links.mechanism["lan"] != USER_SPACE:
            pytest.skip("the kernel carries them")
        schedule = LinkSchedule(backend.links, lambda _: None)
        schedule.advance(0)
        process = backend.links._mechanisms[USER_SPACE]._process  # type: ignore[attr-defined]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        with pytest.raises(LabError, match="the process that carries impaired links has ended"):
            schedule.advance(1)


def test_frames_that_find_no_room_are_counted(tmp_path: Path) -> None:
    with (
        lab_of(plan_of({"delay_ms": 1}), tmp_path) as backend,
        udp_pair(backend) as (sender, receiver),
    ):
        if backend.links.mechanism["lan"] != USER_SPACE:
            pytest.skip("the kernel carries them")
        sender.send(b"first")  # with the question for the address
        receiver.recv(10)
        links = backend.links._mechanisms[USER_SPACE]
        links.restart()
        assert backend.links.overrun() == 0
        process = links._process  # type: ignore[attr-defined]
        os.kill(process.pid, signal.SIGSTOP)
        try:
            for _ in range(30_000):  # more than the buffer of a socket holds
                sender.send(bytes(1_400))
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert 1_000 < backend.links.overrun() < 30_000


def test_a_run_says_what_its_links_were(tmp_path: Path) -> None:
    text = """
name: pair
networks:
  lan:
    subnet: 198.18.22.0/24
    impairments: {delay_ms: 10, schedule: [{at_s: 1, delay_ms: 30, up: {loss_percent: 1}}]}
hosts: {client: {networks: [lan]}, server: {networks: [lan]}}
services: {names: {kind: dns, host: server}}
activities:
  resolving: {kind: dns, hosts: [client], services: [names], session_s: 1}
phases: [{name: all, duration_s: 2}]
"""
    document = validate(parse_yaml(text, file="pair.yaml"), Topology)
    run = tmp_path / "run"
    with Lab.create(backend="netns", run_dir=run) as lab:
        run_experiment(
            document, seed=3, out=run, backend=NetnsBackend(lab), progress=lambda *_: None
        )
    manifest = read_manifest(run)
    assert manifest.status == "complete"
    [link] = manifest.links
    assert (link.network, link.direction, link.asked.delay_ms) == ("lan", "down", 10)
    assert link.measured.delay_ms is not None
    assert link.measured.delay_ms >= 10
    assert manifest.counts["frames_lost_by_links"] == 0
    [change] = [r for r in read_journal(run) if isinstance(r, ImpairmentRecord)]
    assert (change.network, change.at_s, change.down.delay_ms) == ("lan", 1, 30)
    assert change.up.loss_percent == 1
    assert change.time_ns > manifest.start_ns


def test_networks_without_impairments_need_nothing(tmp_path: Path) -> None:
    with lab_of(plan_of({}), tmp_path) as backend:
        assert verify(backend.links) == ()
        assert backend.links.mechanism == {}
        assert Impairments().stages() == backend.links.stages["lan"]
