from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.compile import compile_run
from topologies import Topology, load_topology
from topologies.document import Document, parse_yaml, validate
from topologies.errors import InputError

WRONG = """
name: wrong
networks: {lan: {subnet: 198.18.1.0/24}}
hosts: {client: {networks: [lan]}, server: {networks: [lan]}}
services:
  www: {kind: web, host: server}
  again: {kind: web, host: server}
  odd: {kind: teapot, host: server}
activities:
  a: {kind: dns, hosts: [client], services: [www]}
  b: {kind: juggling, hosts: [client], services: [www]}
  c: {kind: web, hosts: [client], services: [www], params: {speed: 3}}
"""


@pytest.fixture(scope="module")
def office() -> Document[Topology]:
    return load_topology("office")


def test_the_same_seed_gives_the_same_plan(office: Document[Topology]) -> None:
    assert compile_run(office, seed=5) == compile_run(office, seed=5)


def test_another_seed_gives_other_sessions(office: Document[Topology]) -> None:
    one, two = compile_run(office, seed=5), compile_run(office, seed=6)
    assert {s.seed for s in one.sessions}.isdisjoint(s.seed for s in two.sessions)
    assert one.lab != two.lab  # chance does other things to packets
    assert replace(one.lab, seed=two.lab.seed) == two.lab


def test_owners_are_unique_and_sessions_in_order(office: Document[Topology]) -> None:
    plan = compile_run(office, seed=5)
    owners = [item.owner for item in (*plan.services, *plan.sessions)]
    assert len(set(owners)) == len(owners)
    starts = [session.start_s for session in plan.sessions]
    assert starts == sorted(starts)
    assert {session.kind for session in plan.sessions} == {
        activity.kind for activity in office.model.activities.values()
    }


def test_a_scan_is_told_the_host_and_what_really_listens_there(office: Document[Topology]) -> None:
    plan = compile_run(office, seed=5)
    (peer,) = next(s for s in plan.sessions if s.kind == "scan").peers
    assert peer.port is None
    assert 443 in peer.ports


def test_unknown_kinds_wrong_parameters_and_port_clashes_are_all_told() -> None:
    with pytest.raises(InputError) as caught:
        compile_run(validate(parse_yaml(WRONG, file="wrong.yaml"), Topology), seed=1)
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (8, "services.odd.kind"),
        (10, "activities.a.services[0]"),
        (11, "activities.b.kind"),
        (12, "activities.c.params.speed"),
        (7, "services.again"),
    ]
