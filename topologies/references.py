"""Checks across a topology that no single field can make: names, addresses, reachability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations

from topologies.schema import Topology, address_capacity

Fault = tuple[tuple[str | int, ...], str, str, str]
"""Location, what was expected, what was found, the remedy."""


def check_references(topology: Topology) -> Iterator[Fault]:
    """Yield every fault between the parts of a topology."""
    yield from _subnets(topology)
    yield from _names(topology)
    yield from _used_networks(topology)
    yield from _services(topology)
    yield from _activities(topology)
    yield from _captures(topology)
    yield from _room(topology)
    yield from _times(topology)
    yield from _reach(topology)


def _unknown(location: tuple[str | int, ...], what: str, name: str, known: Iterable[str]) -> Fault:
    names = ", ".join(known) or "none"
    return location, f"a {what} of this topology", f"'{name}'", f"use one of: {names}"


def _subnets(topology: Topology) -> Iterator[Fault]:
    for (name_a, a), (name_b, b) in combinations(topology.networks.items(), 2):
        if a.subnet.overlaps(b.subnet):
            yield (
                ("networks", name_b, "subnet"),
                f"a subnet apart from network '{name_a}' ({a.subnet})",
                str(b.subnet),
                "give each network a range of its own",
            )


def _names(topology: Topology) -> Iterator[Fault]:
    machines = Counter(list(topology.routers))
    for host in topology.hosts:
        machines.update(topology.members(host))
    for name, count in machines.items():
        if count > 1:
            section = "hosts" if name in topology.hosts else "routers"
            yield (
                (section, name),
                "one machine of each name",
                f"{count} called '{name}'",
                "rename one (count: N makes NAME-1 … NAME-N)",
            )


def _used_networks(topology: Topology) -> Iterator[Fault]:
    for section, machines in (("routers", topology.routers), ("hosts", topology.hosts)):
        for name, machine in machines.items():
            for index, network in enumerate(machine.networks):
                location = (section, name, "networks", index)
                if network not in topology.networks:
                    yield _unknown(location, "network", network, topology.networks)
                elif network in machine.networks[:index]:
                    yield location, "each network once", f"'{network}' again", "remove it"


def _services(topology: Topology) -> Iterator[Fault]:
    for name, service in topology.services.items():
        location = ("services", name, "host")
        if service.host not in topology.hosts:
            yield _unknown(location, "host", service.host, topology.hosts)
        elif topology.hosts[service.host].count > 1:
            yield (
                location,
                "a single machine",
                f"'{service.host}', which stands for {topology.hosts[service.host].count}",
                "give the service a host of its own, without count",
            )


def _activities(topology: Topology) -> Iterator[Fault]:
    for name, activity in topology.activities.items():
        for index, host in enumerate(activity.hosts):
            location = ("activities", name, "hosts", index)
            if host not in topology.hosts:
                yield _unknown(location, "host", host, topology.hosts)
            elif host in activity.hosts[:index]:
                yield location, "each host once", f"'{host}' again", "remove it"
        for index, service in enumerate(activity.services):
            where = ("activities", name, "services", index)
            if service not in topology.services:
                yield _unknown(where, "service", service, topology.services)
            elif topology.services[service].host in activity.hosts:
                yield (
                    where,
                    "a service on another host",
                    f"'{service}' on the client itself",
                    "loopback traffic is on no network; move the service or the activity",
                )


def _captures(topology: Topology) -> Iterator[Fault]:
    for index, network in enumerate(topology.captures or ()):
        if network not in topology.networks:
            yield _unknown(("captures", index), "network", network, topology.networks)


def _room(topology: Topology) -> Iterator[Fault]:
    used = Counter(n for router in topology.routers.values() for n in router.networks)
    for host in topology.hosts.values():
        used.update(dict.fromkeys(host.networks, host.count))
    for name, count in used.items():
        network = topology.networks.get(name)
        if network is not None and count > address_capacity(network.subnet):
            yield (
                ("networks", name, "subnet"),
                f"room for {count} machines",
                f"{network.subnet}, which has room for {address_capacity(network.subnet)}",
                "choose a shorter prefix",
            )


def _times(topology: Topology) -> Iterator[Fault]:
    if topology.activities and not any(phase.intensity > 0 for phase in topology.phases):
        yield (
            ("phases",),
            "a phase with an intensity above 0",
            "only quiet ones",
            "no activity would ever start; raise one phase's intensity",
        )
    for name, network in topology.networks.items():
        for index, change in enumerate(network.impairments.schedule):
            if change.at_s >= topology.duration_s:
                yield (
                    ("networks", name, "impairments", "schedule", index, "at_s"),
                    f"a time before the end of the last phase ({topology.duration_s:g} s)",
                    f"{change.at_s:g}",
                    "choose an earlier one, or a longer phase",
                )


def _reach(topology: Topology) -> Iterator[Fault]:
    islands = _islands(topology)
    for name, activity in topology.activities.items():
        served = [topology.services[s] for s in activity.services if s in topology.services]
        for index, host in enumerate(activity.hosts):
            source = topology.hosts.get(host)
            mine = {islands.get(network) for network in source.networks} if source else set()
            for service in served:
                target = topology.hosts.get(service.host)
                if source and target and islands.get(target.networks[0]) not in mine:
                    yield (
                        ("activities", name, "hosts", index),
                        f"a host that can reach '{service.host}'",
                        f"'{host}', which no router connects to it",
                        "add a router between their networks",
                    )


def _islands(topology: Topology) -> dict[str, str]:
    """For each network, the name of the group of networks that routers connect it to."""
    island = {name: name for name in topology.networks}
    for router in topology.routers.values():
        joined = [island[n] for n in router.networks if n in island]
        island = {n: joined[0] if group in joined else group for n, group in island.items()}
    return island
