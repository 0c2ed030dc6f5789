"""Every topology of the library is brought up, and keeps the promises of its file."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

from launcher import namespaces, remains
from launcher.activities import catalogue
from launcher.compile import compile_run
from launcher.plan import Endpoint, RunPlan
from tests.launcher.probes import Up, up
from topologies import Topology, library, load_topology

pytestmark = [pytest.mark.lab, pytest.mark.slow]

# Who cannot open what: behind NAT, or by a firewall's rule.
CLOSED = {
    "campus": [
        ("student-1", "console", 22, "refused"),
        ("phone-1", "data", 3306, "refused"),
        ("phone-1", "www", 22, "refused"),
        ("partner", "files", 22, "silence"),
    ],
    "isp-access": [("names", "anna-1", 22, "unreachable"), ("ben-1", "chris-1", 22, "unreachable")],
    "iot-factory": [
        ("clerk-1", "collector", 443, "refused"),
        ("sensor-1", "historian", 443, "silence"),
        ("historian", "robot-1", 22, "silence"),
    ],
    "internet-mini": [("www", "family-1", 22, "unreachable")],
}


@pytest.mark.parametrize("name", library())
def test_a_topology_keeps_its_promises(name: str) -> None:
    document = load_topology(name)
    plan = compile_run(document, seed=1)
    with ExitStack() as stack:
        lab = stack.enter_context(up(document.model))
        daemons = [service for service in plan.services if service.kind == "routing"]
        stack.enter_context(lab.serving(daemons)).await_ready()
        _listen(lab, plan, stack)
        for client, endpoint in _wanted(document.model, plan):
            if endpoint.protocol == "udp":
                lab.send(client, endpoint.host, endpoint.address, endpoint.port or 0)
            else:
                lab.dial(client, endpoint.address, endpoint.ports[0]).close()
        for client, server, port, verdict in CLOSED.get(name, ()):
            # Somebody listens there already, where it is a service.
            with suppress(OSError):
                stack.enter_context(lab.listener(server, lab.address(server), port))
            assert lab.tried(client, lab.address(server), port) == verdict, (client, server)
        made = lab.lab
    assert namespaces.names(remains.namespace_name(made, "")) == ()
    assert made not in remains.find()


def _listen(lab: Up, plan: RunPlan, stack: ExitStack) -> None:
    """Stand in for the services: what matters here is whether there is a way to them."""
    for service in plan.services:
        if service.kind != "routing":
            for port in service.endpoint.ports:
                stack.enter_context(lab.listener(service.host, service.endpoint.address, port))


def _wanted(topology: Topology, plan: RunPlan) -> list[tuple[str, Endpoint]]:
    """The first machine of each client group, with each service it may be told to use."""
    endpoints = {service.name: service.endpoint for service in plan.services}
    wanted = {
        (topology.members(group)[0], target): endpoints[target]
        for activity in topology.activities.values()
        if catalogue()[activity.kind].service_kind  # what others find closed is a finding
        for group in activity.hosts
        for target in activity.services
    }
    return [(client, endpoint) for (client, _), endpoint in wanted.items()]


def test_every_promise_is_of_a_topology_that_there_is() -> None:
    assert set(CLOSED) <= set(library())
