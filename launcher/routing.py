"""Dynamic routing between autonomous systems: what each router speaks, and BIRD's words for it.

A router with an ``asn`` speaks BGP with every router of another system on a common network. The
routers of one system speak OSPF among themselves and exchange what they learned by BGP inside
it, each with each. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Final

from launcher.activities.kind import Need
from launcher.plan import Endpoint, LabPlan, Link, Neighbour, Route, Routing, ServicePlan
from launcher.routes import address_on, static_routes
from topologies import Topology
from topologies.addresses import VERSIONS, Address, Prefix, Version
from topologies.routers import Router

KIND: Final = "routing"
"""What the journal calls a routing daemon."""
PROGRAM: Final = "routing"
PORT: Final = 179
NEED: Final = Need("bird2", command="bird")

Links = Mapping[str, tuple[Link, ...]]


def node_routing(topology: Topology, name: str, links: Links) -> Routing | None:
    """What a router's daemon has to speak; None for one without an ``asn``."""
    speakers = {n: r for n, r in topology.routers.items() if r.asn is not None}
    router = speakers.get(name)
    if router is None or router.asn is None:
        return None
    system = [n for n, other in speakers.items() if other.asn == router.asn]
    return Routing(
        asn=router.asn,
        # Only a number; an address would do, but a router may have none of IPv4.
        router_id=IPv4Address(list(speakers).index(name) + 1),
        neighbours=tuple(_neighbours(topology, name, links, speakers)),
        ospf=tuple(_ospf(topology, name, links, system)),
        statics=tuple(_statics(topology, name, links)),
        expected=tuple(_expected(topology, name, links, speakers)),
    )


def _neighbours(
    topology: Topology, name: str, links: Links, speakers: Mapping[str, Router]
) -> Iterator[Neighbour]:
    for other, router in speakers.items():
        if other == name or router.asn is None:
            continue
        common = [n for n in topology.routers[name].networks if n in router.networks]
        inside = router.asn == speakers[name].asn
        for version in VERSIONS:
            ends: Iterator[tuple[Address, Address]] = (
                (address_on(links[other], n, version), address_on(links[name], n, version))
                for n in common
                if topology.networks[n].range_of(version) is not None
            )
            # Routers of one system need no common network: OSPF knows the way between them.
            pairs = list(ends)
            if inside:
                pairs = pairs[:1] or list(_identities(links, other, name, version))
            for number, pair in enumerate(pairs):
                label = f"{other}_{number}_v{version}".replace("-", "_")
                yield Neighbour(label, router.asn, *pair)


def _identities(
    links: Links, other: str, name: str, version: Version
) -> Iterator[tuple[Address, Address]]:
    there, here = (
        [a.ip for link in links[router] for a in link.addresses if a.version == version]
        for router in (other, name)
    )
    yield from list(zip(there, here, strict=False))[:1]


def _ospf(
    topology: Topology, name: str, links: Links, system: list[str]
) -> Iterator[tuple[str, bool]]:
    if len(system) < 2:
        return
    for link in links[name]:
        peers = [n for n in system if n != name and link.network in topology.routers[n].networks]
        yield link.interface, bool(peers)


def _statics(topology: Topology, name: str, links: Links) -> Iterator[Route]:
    """To what is only behind routers that speak no routing: this router speaks for it."""
    plain = {n: r for n, r in topology.routers.items() if r.asn is None}
    spoken = _spoken_of(topology)
    for route in static_routes(topology, topology.routers[name].networks, links, plain):
        if route.destination not in spoken:
            yield route


def _spoken_of(topology: Topology) -> set[Prefix]:
    """Ranges of the networks that a router with an ``asn`` is on."""
    speakers = [r for r in topology.routers.values() if r.asn is not None]
    return {s for r in speakers for n in r.networks for s in topology.networks[n].subnets}


def _expected(
    topology: Topology, name: str, links: Links, speakers: Mapping[str, Router]
) -> Iterator[tuple[str, Prefix]]:
    """Every range that somebody speaks of, of the IP versions that this router has."""
    versions = {a.version for link in links[name] for a in link.addresses}
    ranges = _spoken_of(topology)
    ranges |= {route.destination for n in speakers for route in _statics(topology, n, links)}
    for network_name, network in topology.networks.items():
        for subnet in network.subnets:
            if subnet in ranges and subnet.version in versions:
                yield network_name, subnet


def daemons(lab: LabPlan, *, first_number: int, first_owner: int) -> Iterator[ServicePlan]:
    """The routing daemons: like services they are started, awaited and put into the journal."""
    routers = [(node, node.routing) for node in lab.nodes if node.routing is not None]
    for number, (node, spoken) in enumerate(routers, start=first_number):
        name, address = f"{KIND}-{node.name}", str(node.links[0].address)
        expected = [{"network": network, "range": str(p)} for network, p in spoken.expected]
        yield ServicePlan(
            id=f"s{number:02d}",
            name=name,
            kind=KIND,
            host=node.name,
            endpoint=Endpoint(name, KIND, node.name, address, PORT, (PORT,), "any"),
            params={"configuration": bird_configuration(spoken), "expected": expected},
            seed=0,  # nothing is left to chance
            owner=first_owner + number,
        )


def bird_configuration(routing: Routing) -> str:
    """Configuration of BIRD 2 for a router."""
    versions = sorted({prefix.version for _, prefix in routing.expected})
    direct = " ".join(f"ipv{version};" for version in versions)
    parts = [
        "log stderr all;",
        f"router id {routing.router_id};",
        "protocol device { scan time 10; }",
        f"protocol direct {{ {direct} }}",
    ]
    for version in versions:
        parts += [_kernel(version), _static(routing, version), _ospf_protocol(routing, version)]
    parts += [_bgp(routing, neighbour) for neighbour in routing.neighbours]
    return "\n".join(part for part in parts if part) + "\n"


def _kernel(version: int) -> str:
    # Paths that are as good as one another share the traffic, as between leaf and spine.
    return (
        f"protocol kernel {{ ipv{version} {{ export where source != RTS_DEVICE; }}; "
        "merge paths on; }"
    )


def _static(routing: Routing, version: int) -> str:
    routes = [route for route in routing.statics if route.destination.version == version]
    lines = "".join(f" route {route.destination} via {route.gateway};" for route in routes)
    return f"protocol static {{ ipv{version};{lines} }}" if routes else ""


def _ospf_protocol(routing: Routing, version: int) -> str:
    """OSPFv2 carries IPv4, OSPFv3 IPv6; timers as fast as they go, for a lab should be up soon."""
    if not routing.ospf:
        return ""
    interfaces = "".join(
        f' interface "{name}" {{ hello 1; dead count 4; wait 2; retransmit 2;'
        f"{'' if active else ' stub;'} }};"
        for name, active in routing.ospf
    )
    kind = "v2" if version == 4 else "v3"
    return (
        f"protocol ospf {kind} {{ ipv{version} {{ export where source = RTS_STATIC; }}; "
        f"area 0 {{{interfaces} }}; }}"
    )


def _bgp(routing: Routing, neighbour: Neighbour) -> str:
    inside = neighbour.asn == routing.asn
    export = "where source = RTS_BGP" if inside else "all"
    own_hop = " next hop self;" if inside else ""
    return (
        f"protocol bgp {neighbour.name} {{ local {neighbour.own_address} as {routing.asn}; "
        f"neighbor {neighbour.address} as {neighbour.asn}; connect delay time 1; "
        "connect retry time 2; error wait time 1, 4; "
        f"ipv{neighbour.address.version} {{ import all; export {export};{own_hop} }}; }}"
    )
