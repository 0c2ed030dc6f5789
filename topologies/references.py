"""Checks across a topology that no single field can make: names, addresses, reachability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import combinations

from topologies.addresses import (
    LAB_ADDRESSES,
    LAB_ADDRESSES6,
    Version,
    address_capacity,
    outside_addresses,
)
from topologies.paths import can_open
from topologies.routercheck import Fault, check_routers
from topologies.schema import Topology


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
    yield from _params(topology)
    if all(n in topology.networks for r in topology.routers.values() for n in r.networks):
        yield from check_routers(topology)
        yield from _reach(topology)


def _unknown(location: tuple[str | int, ...], what: str, name: str, known: Iterable[str]) -> Fault:
    names = ", ".join(known) or "none"
    return location, f"a {what} of this topology", f"'{name}'", f"use one of: {names}"


def _subnets(topology: Topology) -> Iterator[Fault]:
    for (name_a, a), (name_b, b) in combinations(topology.networks.items(), 2):
        for key in ("subnet", "subnet6"):
            one, other = getattr(a, key), getattr(b, key)
            if one is not None and other is not None and one.overlaps(other):
                yield (
                    ("networks", name_b, key),
                    f"a {key} apart from network '{name_a}' ({one})",
                    str(other),
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
        elif service.ip_version and service.ip_version not in _versions(topology, service.host):
            yield (
                ("services", name, "ip_version"),
                f"an IP version that host '{service.host}' has an address of",
                str(service.ip_version),
                "give one of its networks a range of that version",
            )


def _versions(topology: Topology, host: str) -> Iterable[int]:
    known = [topology.networks[n] for n in topology.hosts[host].networks if n in topology.networks]
    return {subnet.version for network in known for subnet in network.subnets}


def _activities(topology: Topology) -> Iterator[Fault]:
    for name, activity in topology.activities.items():
        for index, host in enumerate(activity.hosts):
            location = ("activities", name, "hosts", index)
            if host not in topology.hosts:
                yield _unknown(location, "host", host, topology.hosts)
            elif host in activity.hosts[:index]:
                yield location, "each host once", f"'{host}' again", "remove it"
        for index, service in enumerate(activity.services):
            where: tuple[str | int, ...] = ("activities", name, "services", index)
            if service not in topology.services:
                yield _unknown(where, "service", service, topology.services)
            elif topology.services[service].host in activity.hosts:
                yield (
                    where,
                    "a service on another host",
                    f"'{service}' on the client itself",
                    "loopback traffic is on no network; move the service or the activity",
                )
        for index, service in enumerate(activity.inside.services if activity.inside else ()):
            if service not in topology.services:
                where = ("activities", name, "inside", "services", index)
                yield _unknown(where, "service", service, topology.services)


def _captures(topology: Topology) -> Iterator[Fault]:
    cables = {
        f"{machine}:{end}{number}"
        for machine, networks in _machines(topology)
        for number in range(len(networks))
        for end in ("eth", "port")
    }
    for index, point in enumerate(topology.captures or ()):
        if ":" in point and point not in cables:
            what = "capture point, MACHINE:ethN or MACHINE:portN,"
            yield _unknown(("captures", index), what, point, sorted(cables))
        elif ":" not in point and point not in topology.networks:
            yield _unknown(("captures", index), "network", point, topology.networks)


def _machines(topology: Topology) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, router in topology.routers.items():
        yield name, router.networks
    for name, host in topology.hosts.items():
        for member in topology.members(name):
            yield member, host.networks


def _room(topology: Topology) -> Iterator[Fault]:
    used = Counter(n for router in topology.routers.values() for n in router.networks)
    for host in topology.hosts.values():
        used.update(dict.fromkeys(host.networks, host.count))
    for name, count in used.items():
        network = topology.networks.get(name)
        if network is None or network.subnet is None:
            continue
        if count > address_capacity(network.subnet):
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


def _params(topology: Topology) -> Iterator[Fault]:
    """No program of a lab is pointed at somebody outside."""
    for section, things in (("services", topology.services), ("activities", topology.activities)):
        for name, thing in things.items():
            for key, value in thing.params.items():
                for address in outside_addresses(value):
                    yield (
                        (section, name, "params", key),
                        f"addresses of the lab only ({LAB_ADDRESSES}, {LAB_ADDRESSES6})",
                        f"'{address}'",
                        "a lab talks to its own hosts; name a service instead",
                    )


def _reach(topology: Topology) -> Iterator[Fault]:
    """Every client can open connections to the services it is told to use."""
    reach = cache(partial(can_open, topology))
    translated = any(router.nat for router in topology.routers.values())
    remedy = "add a router between their networks"
    for name, activity in topology.activities.items():
        for index, host in enumerate(activity.hosts):
            for service in activity.services:
                if not _reaches(topology, host, service, reach):
                    target = topology.services[service].host
                    yield (
                        ("activities", name, "hosts", index),
                        f"a host that can reach '{target}'",
                        f"'{host}', which no router connects to it",
                        f"{remedy}; into a NAT there is no way" if translated else remedy,
                    )


def _reaches(
    topology: Topology, host: str, service: str, reach: Callable[[str, Version], set[str]]
) -> bool:
    """Whether the client can, or one of the names is unknown and has a fault of its own."""
    if host not in topology.hosts or service not in topology.services:
        return True
    target = topology.services[service].host
    if target not in topology.hosts:
        return True
    machines = (topology.hosts[host], topology.hosts[target])
    if any(n not in topology.networks for machine in machines for n in machine.networks):
        return True
    version = topology.listens_on(service)
    mine = [n for n in machines[0].networks if topology.networks[n].range_of(version)]
    there = next((n for n in machines[1].networks if topology.networks[n].range_of(version)), None)
    return there is None or any(there in reach(n, version) for n in mine)
