"""Where the services of a lab listen."""

from __future__ import annotations

from collections.abc import Iterator

from launcher.activities import ServiceKind, services
from launcher.plan import Endpoint, LabPlan
from topologies import Topology
from topologies.document import Document
from topologies.errors import Problem
from topologies.schema import Service


def service_ports(service: Service, kind: ServiceKind) -> tuple[int, ...]:
    """Ports a service listens on."""
    return kind.ports if service.port is None else (service.port,)


def port_clashes(document: Document[Topology]) -> Iterator[Problem]:
    """Services of one host that want the same port."""
    taken: dict[tuple[str, int], str] = {}
    known = services()
    for name, service in document.model.services.items():
        kind = known.get(service.kind)
        for port in service_ports(service, kind) if kind else ():
            other = taken.setdefault((service.host, port), name)
            if other != name:
                yield document.source.problem(
                    ("services", name),
                    expected=f"a port of its own on host '{service.host}'",
                    got=f"port {port}, which '{other}' has",
                    remedy="move it to another host or set port:",
                )


def service_endpoints(topology: Topology, lab: LabPlan) -> dict[str, Endpoint]:
    """Where each service listens."""
    known = services()
    found = {}
    for name, service in topology.services.items():
        kind = known[service.kind]
        ports = service_ports(service, kind)
        address = str(lab.node(service.host).address_of(topology.listens_on(name)))
        found[name] = Endpoint(
            name, service.kind, service.host, address, ports[0], ports, kind.protocol
        )
    return found
