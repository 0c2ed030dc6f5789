"""Which machine gets what of a lab, and that the parts together are the lab."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from launcher.addressing import lab_plan
from launcher.plan import LabPlan
from launcher.scaleout.division import IDENTIFIERS, Part, divide, network_of
from launcher.scaleout.duties import PLAN
from launcher.scaleout.placement import Placement, place, together
from topologies import Topology, library, load_topology

ENGINES = ("a", "b", "c")
UNDERLAYS = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}


@cache
def library_plan(name: str) -> LabPlan:
    return lab_plan(load_topology(name).model)


def row(networks: int, hosts: int) -> LabPlan:
    """Networks in a row, each with hosts, joined by routers."""
    names = [f"n{i}" for i in range(networks)]
    return lab_plan(
        Topology.model_validate(
            {
                "name": "row",
                "networks": {n: {"subnet": f"198.18.{i}.0/24"} for i, n in enumerate(names)},
                "routers": {f"r{i}": {"networks": names[i : i + 2]} for i in range(networks - 1)},
                "hosts": {f"h{i}": {"networks": [n], "count": hosts} for i, n in enumerate(names)},
            }
        )
    )


def parts_of(plan: LabPlan, engines: int) -> tuple[Placement, dict[str, Part]]:
    placement = place(plan, ENGINES[:engines], {})
    return placement, divide(plan, placement, UNDERLAYS, first_identifier=IDENTIFIERS - 1)


def test_a_row_is_cut_once_in_the_middle() -> None:
    plan = row(6, hosts=4)
    placement = place(plan, ENGINES[:2], {})
    assert len(list(placement.long_cables(plan))) == 1
    assert sorted(Counter(placement.networks.values()).values()) == [3, 3]


def test_hints_are_kept_and_the_rest_follows() -> None:
    plan = row(4, hosts=3)
    placement = place(plan, ENGINES[:2], {"n0": "b", "n3": "a"})
    assert dict(placement.networks) == {"n0": "b", "n1": "b", "n2": "a", "n3": "a"}
    assert placement.nodes["h0-1"] == "b"


def test_one_engine_gets_everything() -> None:
    plan = row(3, hosts=2)
    placement, parts = parts_of(plan, 1)
    assert parts["a"].plan.nodes == plan.nodes
    assert parts["a"].plan.segments == plan.segments
    assert parts["a"].ends == ()
    assert placement.engines == ("a",)


def test_a_placement_is_the_same_every_time() -> None:
    plan = library_plan("internet-mini")
    assert place(plan, ENGINES, {}) == place(plan, ENGINES, {})


@pytest.mark.parametrize("name", library())
def test_what_is_behind_a_nat_is_with_it(name: str) -> None:
    plan = library_plan(name)
    placement = place(plan, ENGINES, {})
    for nat in plan.translations:
        inside = {s.name for s in plan.segments if s.subnet in nat.inside}
        assert {placement.networks[n] for n in inside} == {placement.nodes[nat.router]}
    assert sorted(n for unit in together(plan) for n in unit) == sorted(placement.networks)


@pytest.mark.parametrize("name", library())
def test_the_parts_together_are_the_lab(name: str) -> None:
    plan = library_plan(name)
    placement, parts = parts_of(plan, 3)
    nodes = {node.name: node for part in parts.values() for node in part.plan.nodes}
    assert len(nodes) == sum(len(part.plan.nodes) for part in parts.values()) == len(plan.nodes)
    for node in plan.nodes:
        cables = [(network_of(link.network), link.addresses) for link in nodes[node.name].links]
        assert cables == [(link.network, link.addresses) for link in node.links]
    for engine, part in parts.items():
        there = {segment.name for segment in part.plan.segments}
        assert {link.network for node in part.plan.nodes for link in node.links} <= there
        assert {n for n in there if "@" not in n} == {
            n for n, where in placement.networks.items() if where == engine
        }
        assert Counter(part.plan.host_addresses) == Counter(plan.host_addresses)
        assert PLAN.validate_json(PLAN.dump_json(part.plan)) == part.plan


@pytest.mark.parametrize("name", library())
def test_every_long_cable_has_two_ends_and_an_identifier_of_its_own(name: str) -> None:
    plan = library_plan(name)
    placement, parts = parts_of(plan, 3)
    ends = [(engine, end) for engine, part in parts.items() for end in part.ends]
    by_identifier = Counter(end.identifier for _, end in ends)
    assert set(by_identifier.values()) <= {2}
    assert len(by_identifier) == len(list(placement.long_cables(plan)))
    assert all(0 <= identifier < IDENTIFIERS for identifier in by_identifier)
    for engine, end in ends:
        assert end.remote != UNDERLAYS[engine]
        assert end.segment in {segment.name for segment in parts[engine].plan.segments}
