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


def test_what_listens_on_another_address_of_the_host_is_not_told() -> None:
    plan = compile_run(load_topology("datacentre"), seed=5)
    other = next(s.endpoint for s in plan.services if s.name == "volumes6")
    told = [p for s in plan.sessions if s.kind == "worm" for p in s.peers if p.host == other.host]
    assert told
    assert all(22 in peer.ports and 2222 not in peer.ports for peer in told)


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


TUNNEL = """
name: tunnel
networks: {lan: {subnet: 198.18.1.0/24}}
hosts: {client: {networks: [lan]}, server: {networks: [lan]}}
services:
  www: {kind: shop, host: server}
  gate: {kind: proxy, host: server}
  names: {kind: dns, host: server}
activities:
  through: {kind: proxy, hosts: [client], services: [gate], inside: INSIDE}
"""


def tunnelled(inside: str) -> Document[Topology]:
    return validate(parse_yaml(TUNNEL.replace("INSIDE", inside), file="t.yaml"), Topology)


def test_a_session_through_a_tunnel_has_another_drawn_inside() -> None:
    document = tunnelled("{kind: shop, services: [www], params: {variants: [buy]}}")
    plan = compile_run(document, seed=3)
    assert plan == compile_run(document, seed=3)
    for session in plan.sessions:
        assert session.kind == "proxy"
        assert [peer.service for peer in session.peers] == ["gate"]
        assert session.inside is not None
        assert (session.inside.kind, session.inside.variant) == ("shop", "buy")
        assert [peer.service for peer in session.inside.peers] == ["www"]
    assert len({session.inside.seed for session in plan.sessions if session.inside}) > 1


@pytest.mark.parametrize(
    ("inside", "path", "expected"),
    [
        ("null", "activities.through", "inside: what the tunnel carries"),
        ("{kind: dns, services: [names]}", "activities.through.inside.kind", "one of "),
        ("{kind: proxy, services: [gate]}", "activities.through.inside.kind", "one of "),
        ("{kind: web, services: [www]}", "activities.through.inside.services[0]", "kind 'web'"),
        (
            "{kind: shop, services: [www], params: {speed: 1}}",
            "activities.through.inside.params.speed",
            "one of",
        ),
    ],
)
def test_what_a_tunnel_cannot_carry_is_refused(inside: str, path: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        compile_run(tunnelled(inside), seed=1)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert expected in problem.expected


def test_what_is_no_tunnel_carries_nothing() -> None:
    text = TUNNEL.replace("kind: proxy, hosts", "kind: shop, hosts").replace("[gate]", "[www]")
    text = text.replace("INSIDE", "{kind: shop, services: [www]}")
    with pytest.raises(InputError, match="shop is no tunnel"):
        compile_run(validate(parse_yaml(text, file="t.yaml"), Topology), seed=1)


def test_a_kind_that_is_misspelt_is_told_its_name() -> None:
    text = WRONG.replace("teapot", "postgrs").replace("juggling", "web-scann")
    with pytest.raises(InputError, match="did you mean 'postgres'") as caught:
        compile_run(validate(parse_yaml(text, file="wrong.yaml"), Topology), seed=1)
    assert any("did you mean 'web-scan'" in problem.remedy for problem in caught.value.problems)
