from __future__ import annotations

from ipaddress import ip_network

from launcher.addressing import lab_plan
from launcher.plan import LabPlan, Node
from topologies import load_topology
from topologies.addresses import Address
from topologies.document import parse_yaml, validate
from topologies.schema import Topology

CHAIN = """
name: chain
networks:
  a: {subnet: 198.18.1.0/24}
  b: {subnet: 198.18.2.0/24}
  c: {subnet: 198.18.3.0/24}
  d: {subnet: 198.18.4.0/24}
routers:
  r1: {networks: [a, b]}
  r2: {networks: [b, c]}
  r3: {networks: [c, d]}
hosts:
  left: {networks: [a]}
  right: {networks: [d]}
"""


def owner(plan: LabPlan, address: Address) -> Node:
    return next(n for n in plan.nodes for link in n.links if link.address == address)


def hops(plan: LabPlan, source: str, target: Address) -> list[str]:
    """Follow the routes as packets would."""
    node, path = plan.node(source), []
    while target not in {link.address for link in node.links}:
        on_link = {s.name for s in plan.segments if target in s.subnet}
        if on_link & {link.network for link in node.links}:
            node = owner(plan, target)
        else:
            route = next(r for r in node.routes if target in r.destination)
            node = owner(plan, route.gateway)
        path.append(node.name)
        assert len(path) < 10
    return path


def test_routes_lead_across_a_chain_of_routers_and_back() -> None:
    plan = lab_plan(validate(parse_yaml(CHAIN, file="chain"), Topology).model)
    left, right = plan.node("left").links[0].address, plan.node("right").links[0].address
    assert hops(plan, "left", right) == ["r1", "r2", "r3", "right"]
    assert hops(plan, "right", left) == ["r3", "r2", "r1", "left"]


def test_every_address_is_unique_and_on_its_subnet() -> None:
    plan = lab_plan(load_topology("office").model)
    subnets = {segment.name: segment.subnet for segment in plan.segments}
    links = [link for node in plan.nodes for link in node.links]
    assert len({link.address for link in links}) == len(links)
    assert all(link.address in subnets[link.network] for link in links)
    assert [node.name for node in plan.nodes if node.forwards] == ["core"]


def test_a_host_has_one_way_out_and_the_exceptions_to_it() -> None:
    plan = lab_plan(validate(parse_yaml(CHAIN, file="chain"), Topology).model)
    left = plan.node("left")
    assert [(str(r.destination), str(r.gateway)) for r in left.routes] == [
        ("198.18.0.0/15", "198.18.1.1")
    ]
    between = parse_yaml(
        CHAIN.replace("right: {networks: [d]}", "between: {networks: [b]}"), file=""
    )
    routes = lab_plan(validate(between, Topology).model).node("between").routes
    assert [(str(r.destination), str(r.gateway)) for r in routes] == [
        ("198.18.1.0/24", "198.18.2.1"),
        ("198.18.0.0/15", "198.18.2.2"),
    ]
    # A router must know what there is not, lest two of them pass it to and fro.
    assert all(r.destination.prefixlen == 24 for r in plan.node("r2").routes)


def test_a_network_has_ipv4_and_ipv6_addresses_of_the_same_numbers() -> None:
    text = CHAIN.replace("198.18.4.0/24}", '198.18.4.0/24, subnet6: "2001:2:0:4::/64"}')
    plan = lab_plan(validate(parse_yaml(text, file="chain"), Topology).model)
    addresses = [str(a) for a in plan.node("right").links[0].addresses]
    assert addresses == ["198.18.4.2/24", "2001:2:0:4::2/64"]
    segment = next(s for s in plan.segments if s.name == "d")
    assert segment.subnets == (ip_network("198.18.4.0/24"), ip_network("2001:2:0:4::/64"))
    assert plan.node("left").versions == {4}
