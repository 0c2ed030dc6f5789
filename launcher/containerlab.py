"""A lab as a topology of containerlab, for those who run that, or Kubernetes by way of it. Pure.

Networks and machines only, with addresses, routes, MTU and impairments: what happens in the lab is
the launcher's. Each network is a node that bridges its ports, so nothing has to be there before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from launcher.images import image_tag
from launcher.plan import LabPlan, Node, Segment
from topologies import Topology
from topologies.document import Document
from topologies.errors import InputError, Problem
from topologies.impairments import Quality

SWITCH: Final = "net-"
_NO_DETECTION: Final = "nodad"


def refused(document: Document[Topology]) -> tuple[Problem, ...]:
    """What of a topology has no counterpart in the export."""
    return tuple(
        document.source.problem(
            ("routers", name, key),
            expected="a router that only forwards",
            got=key,
            remedy="run it with gsta lab run, or export a topology without it",
        )
        for name, router in document.model.routers.items()
        for key in ("nat", "firewall", "asn")
        if getattr(router, key) is not None
    )


def to_containerlab(document: Document[Topology], plan: LabPlan) -> dict[str, Any]:
    """The topology file (``NAME.clab.yml``) as data.

    Raises
    ------
    InputError
        A router translates, filters or speaks a routing protocol.
    """
    if problems := refused(document):
        raise InputError(problems)
    segments = {segment.name: segment for segment in plan.segments}
    nodes: dict[str, Any] = {}
    links: list[dict[str, Any]] = []
    ports = dict.fromkeys(segments, 0)
    for node in plan.nodes:
        nodes[node.name] = _machine(node)
        for link in node.links:
            ports[link.network] += 1
            near = f"{node.name}:{link.interface}"
            far = f"{SWITCH}{link.network}:eth{ports[link.network]}"
            links.append({"endpoints": [near, far], "mtu": segments[link.network].mtu})
    for name, segment in segments.items():
        nodes[f"{SWITCH}{name}"] = _switch(segment, ports[name])
    return {"name": plan.name, "topology": {"nodes": nodes, "links": links}}


def _container(image: str, commands: list[str], sysctls: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": "linux", "image": image, "network-mode": "none"}
    return made | {"cmd": "sleep infinity", "sysctls": sysctls, "exec": commands}


def _machine(node: Node) -> dict[str, Any]:
    forwarding = int(node.forwards)
    sysctls = {"net.ipv4.ip_forward": forwarding}
    if 6 in node.versions:
        sysctls["net.ipv6.conf.all.forwarding"] = forwarding
    return _container(image_tag(node.image), list(_addresses(node)), sysctls)


def _addresses(node: Node) -> Iterator[str]:
    for link in node.links:
        for address in link.addresses:
            detection = f" {_NO_DETECTION}" if address.version == 6 else ""
            yield f"ip address add {address} dev {link.interface}{detection}"
    for route in node.routes:
        yield f"ip -{route.gateway.version} route add {route.destination} via {route.gateway}"


def _switch(segment: Segment, ports: int) -> dict[str, Any]:
    commands = [f"ip link add br0 mtu {segment.mtu} type bridge", "ip link set br0 up"]
    quality = segment.impairments.stages()[0].down
    for number in range(1, ports + 1):
        commands.append(f"ip link set eth{number} master br0")
        commands += _impaired(f"eth{number}", quality)
    return _container(image_tag("base"), commands, {})


def _impaired(interface: str, quality: Quality) -> Iterator[str]:
    """netem on the switch's port, towards the machine."""
    words = []
    if quality.delay_ms or quality.jitter_ms:
        words.append(f"delay {quality.delay_ms:g}ms {quality.jitter_ms:g}ms")
    if quality.loss_percent:
        words.append(f"loss {quality.loss_percent:g}%")
    if quality.reorder_percent:
        words.append(f"reorder {quality.reorder_percent:g}%")
    if quality.duplicate_percent:
        words.append(f"duplicate {quality.duplicate_percent:g}%")
    if quality.rate_mbit is not None:
        words.append(f"rate {quality.rate_mbit:g}mbit")
    if words:
        yield f"tc qdisc add dev {interface} root netem {' '.join(words)}"
