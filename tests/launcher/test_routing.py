"""Routers that learn their routes: what they are told, and that every route comes by itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from launcher import routing, servers
from launcher.addressing import lab_plan
from launcher.backend import FlowEvent
from launcher.compile import compile_run
from launcher.plan import LabPlan, ServicePlan
from launcher.run import run_experiment
from launcher.rundir import EVIDENCE, JOURNAL
from tests.launcher.probes import Up, up
from topologies import Topology, load_topology
from topologies.document import Document, Source
from topologies.errors import LabError, MachineError

# Two routers in AS 64501, one in each of the others, a plain one behind the last.
TOPOLOGY = Topology.model_validate(
    {
        "name": "systems",
        "networks": {
            "inner": {"subnet": "198.18.1.0/24", "subnet6": "2001:2:0:1::/64"},
            "spine": {"subnet": "198.18.2.0/24", "subnet6": "2001:2:0:2::/64"},
            "meeting": {"subnet": "198.18.3.0/24", "subnet6": "2001:2:0:3::/64"},
            "other": {"subnet": "198.18.4.0/24"},
            "newer": {"subnet6": "2001:2:0:5::/64"},
            "behind": {"subnet": "198.18.6.0/24"},
        },
        "routers": {
            "core": {"networks": ["inner", "spine"], "asn": 64501},
            "edge": {"networks": ["spine", "meeting"], "asn": 64501},
            "old": {"networks": ["meeting", "other"], "asn": 64502},
            "new": {"networks": ["meeting", "newer"], "asn": 64503},
            "plain": {"networks": ["other", "behind"]},
        },
        "hosts": {
            "client": {"networks": ["inner"]},
            "server": {"networks": ["behind"]},
            "server6": {"networks": ["newer"]},
        },
    }
)


@pytest.fixture(scope="module")
def plan() -> LabPlan:
    return lab_plan(TOPOLOGY)


def test_systems_meet_by_bgp_and_hold_together_by_ospf(plan: LabPlan) -> None:
    edge = plan.node("edge").routing
    assert edge is not None
    assert {(n.name, n.asn, str(n.address)) for n in edge.neighbours} == {
        ("core_0_v4", 64501, "198.18.2.1"),
        ("core_0_v6", 64501, "2001:2:0:2::1"),
        ("old_0_v4", 64502, "198.18.3.2"),
        ("old_0_v6", 64502, "2001:2:0:3::2"),
        ("new_0_v4", 64503, "198.18.3.3"),
        ("new_0_v6", 64503, "2001:2:0:3::3"),
    }
    assert edge.ospf == (("eth0", True), ("eth1", False))
    old, plain = plan.node("old").routing, plan.node("plain")
    assert old is not None
    assert old.ospf == ()
    assert [str(r.destination) for r in old.statics] == ["198.18.6.0/24"]
    assert plain.routing is None
    assert {str(r.destination) for r in plain.routes} >= {"198.18.1.0/24", "198.18.3.0/24"}
    assert plan.node("core").routes == ()
    assert {name for name, _ in edge.expected} == set(TOPOLOGY.networks)


def test_a_router_is_told_only_of_what_it_has() -> None:
    networks = {"a": {"subnet": "198.18.1.0/24"}, "b": {"subnet": "198.18.2.0/24"}}
    lonely = {
        "name": "lonely",
        "networks": networks,
        "routers": {"one": {"networks": ["a", "b"], "asn": 64500}},
        "hosts": {"host": {"networks": ["a"]}},
    }
    spoken = lab_plan(Topology.model_validate(lonely)).node("one").routing
    assert spoken is not None
    text = routing.bird_configuration(spoken)
    assert "ipv6" not in text
    assert "protocol bgp" not in text
    assert "protocol ospf" not in text


def test_routing_daemons_are_services_with_owners_of_their_own() -> None:
    plan = compile_run(load_topology("internet-mini"), seed=1)
    daemons = [service for service in plan.services if service.kind == "routing"]
    assert len(daemons) == 8
    owners = [x.owner for x in (*plan.services, *plan.sessions)]
    assert len(set(owners)) == len(owners)
    assert len({service.id for service in plan.services}) == len(plan.services)
    assert {service.host for service in daemons} <= set(plan.lab.opening)


def daemons(lab: Up) -> list[ServicePlan]:
    source = Source("systems.yaml", {}, {})
    return list(compile_run(Document(TOPOLOGY, source), seed=1).services)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("netns", marks=pytest.mark.lab),
        pytest.param("docker", marks=pytest.mark.docker),
    ],
)
def test_every_route_comes_by_itself_and_every_flow_of_it_has_an_owner(
    kind: Literal["netns", "docker"], tmp_path: Path
) -> None:
    events: list[FlowEvent] = []
    with up(TOPOLOGY, kind=kind) as lab:
        watch = lab.backend.watch(events.append)
        with lab.serving(daemons(lab)) as running:
            running.await_ready()
            lab.transfer("client", "server", lab.address("server"), 100_000)
            lab.transfer("client", "server6", lab.address("server6", 6), 100_000)
            lab.transfer("server", "client", lab.address("client"), 100_000)
            running.stop()
        assert watch.stop() == 0
        written = (lab.run_dir / JOURNAL).read_text()
    records = [json.loads(line) for line in written.splitlines()]
    assert {(r["kind"], r["host"], r["outcome"]) for r in records} == {
        ("routing", host, "ok") for host in ("core", "edge", "old", "new")
    }
    owners = {record["owner"]: record["host"] for record in records}
    opened = [event for event in events if event.what == "opened"]
    assert all(owners.get(event.owner) == event.host for event in opened), opened
    bgp, ospf = 6, 89
    assert {(event.host, event.protocol) for event in events} >= {("core", ospf), ("edge", ospf)}
    assert bgp in {event.protocol for event in events}


@pytest.mark.lab
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "READY_TIMEOUT_S", 2.0)
    with up(TOPOLOGY) as lab:
        # Only one of the four begins to speak.
        old = [service for service in daemons(lab) if service.host == "old"]
        with (
            lab.serving(old) as alone,
            pytest.raises(LabError, match=r"'routing-old'.*no route to inner \(198\.18\.1\.0/24\)"),
        ):
            alone.await_ready()


@pytest.mark.lab
def test_a_daemon_that_cannot_read_its_configuration_is_an_error() -> None:
    with up(TOPOLOGY) as lab:
        first = daemons(lab)[0]
        broken = replace(first, params={**first.params, "configuration": "nonsense"})
        with (
            lab.serving([broken]) as running,
            pytest.raises(LabError, match=f"{broken.name}' on host 'core' did not start"),
        ):
            running.await_ready()


@pytest.mark.lab
def test_without_bird_a_lab_with_routing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with (
        pytest.raises(MachineError, match="router 'core' has an asn: BIRD") as told,
        up(TOPOLOGY),
    ):
        pass
    assert "apt-get install bird2" in told.value.remedy


@pytest.mark.lab
@pytest.mark.slow
def test_a_run_with_routing_is_whole_and_knows_its_daemons(tmp_path: Path) -> None:
    from gsta.labs import shortened
    from launcher.labs import Lab
    from launcher.netns import NetnsBackend

    library = load_topology("internet-mini")
    bare = library.model.model_copy(update={"services": {}, "activities": {}})
    document = shortened(Document(bare, library.source), 2.0)
    out = tmp_path / "run"
    with Lab.create(backend="netns", run_dir=out) as lab:
        run_experiment(
            document, seed=1, out=out, backend=NetnsBackend(lab), progress=lambda *_: None
        )
    assert json.loads((out / "manifest.json").read_text())["status"] == "complete"
    records = [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()]
    spoken = {r["id"] for r in records if r["record"] == "service" and r["kind"] == "routing"}
    evidence = [json.loads(line) for line in (out / EVIDENCE).read_text().splitlines()]
    assert {e["activity"] for e in evidence if e["protocol"] == 89} <= spoken
    assert {e["activity"] for e in evidence if e["dport"] == 179} <= spoken
    assert len(spoken) == 8
