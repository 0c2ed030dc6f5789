"""Plausible topologies of any size: access networks behind routers, a backbone, servers, homes.

The same size and seed give the same text, to the byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import yaml

from topologies.errors import InputError, Problem

LEAST_HOSTS, MOST_HOSTS = 2, 500
SERVER_SHARE: Final = 0.12
MOST_SERVERS: Final = 48
SERVERS_A_NETWORK: Final = 16
CLIENTS_A_NETWORK: Final = (6, 32)
NETWORKS_A_ROUTER: Final = (1, 4)
HOME_SHARE, IPV6_SHARE, JUMBO_SHARE = 0.25, 0.6, 0.3
RATES_MBIT: Final = (None, None, 20, 50, 100, 200)
SERVED: Final = ("web", "dns", "video", "ssh", "mail", "pool")
MOST_TARGETS: Final = 6
GROUPS: Final = ("desk", "laptop", "phone", "bench", "kiosk", "tablet")
# Activity: kind of its service, share of the host groups that do it, sessions a second in all.
ACTIVITIES: Final = {
    "web": ("web", 1.0, 0.7),
    "video": ("video", 0.6, 0.35),
    "dns": ("dns", 0.9, 0.35),
    "mail": ("mail", 0.7, 0.35),
    "ssh": ("ssh", 0.4, 0.25),
    "transfer": ("ssh", 0.5, 0.25),
    "mining": ("pool", 0.4, 0.25),
    "scan": (None, 0.5, 0.1),
}
PHASES: Final = (
    {"name": "warm-up", "duration_s": 10, "intensity": 0.5},
    {"name": "steady", "duration_s": 60},
    {"name": "peak", "duration_s": 20, "intensity": 1.5},
    {"name": "quiet", "duration_s": 15, "intensity": 0},
)
Tree = dict[str, Any]


def generate(hosts: int, seed: int) -> str:
    """The YAML text of a topology with ``hosts`` hosts, clients and servers together.

    Raises
    ------
    InputError
        ``hosts`` is not between 2 and 500.
    """
    if not LEAST_HOSTS <= hosts <= MOST_HOSTS:
        raise InputError(
            Problem(
                "--hosts",
                "",
                f"{LEAST_HOSTS} to {MOST_HOSTS}",
                str(hosts),
                "choose a number in this range",
            )
        )
    tree = _Builder(Random(f"{hosts}/{seed}")).build(hosts)  # text seeds alike on every machine
    tree = {"name": f"generated-{hosts}-{seed}"[:31], **tree}
    text = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=100)
    return f"# Made by: gsta topology generate --hosts {hosts} --seed {seed}\n{text}"


@dataclass
class _Builder:
    rng: Random
    networks: Tree = field(default_factory=dict)
    routers: Tree = field(default_factory=dict)
    hosts: Tree = field(default_factory=dict)
    services: Tree = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def build(self, hosts: int) -> Tree:
        """The whole document but its name."""
        servers = max(1, min(MOST_SERVERS, round(hosts * SERVER_SHARE)))
        self._network("backbone", dual=True)
        captured = list(self._server_networks(servers))
        groups = list(self._client_networks(hosts - servers))
        return {
            "description": f"Generated: {hosts} hosts, {servers} of them servers.",
            "networks": self.networks,
            "routers": self.routers,
            "hosts": self.hosts,
            "services": self.services,
            "activities": dict(self._activities(groups)),
            "phases": [dict(phase) for phase in PHASES],
            "captures": captured,
        }

    def _network(self, name: str, *, dual: bool, **more: object) -> str:
        number = len(self.networks)
        keys: Tree = {"subnet": f"198.{18 + number // 256}.{number % 256}.0/24"}
        if dual:
            keys["subnet6"] = f"2001:2:0:{number:x}::/64"
        self.networks[name] = keys | {k: value for k, value in more.items() if value}
        return name

    def _named(self, what: str) -> str:
        self.numbers[what] += 1
        return f"{what}-{self.numbers[what]}"

    def _server_networks(self, servers: int) -> Iterator[str]:
        made = 0
        while made < servers:
            size = min(SERVERS_A_NETWORK, servers - made)
            mtu = 9_000 if self.rng.random() < JUMBO_SHARE else None
            name = self._network(
                self._named("servers"), dual=self.rng.random() < IPV6_SHARE, mtu=mtu
            )
            self.routers[self._named("border")] = {"networks": ["backbone", name]}
            for _ in range(size):
                self._server(name, made)
                made += 1
            yield name

    def _server(self, network: str, number: int) -> None:
        host = self._named("server")
        self.hosts[host] = {"networks": [network]}
        kinds = [SERVED[number % len(SERVED)]]
        if self.rng.random() < 0.5:
            kinds.append(self.rng.choice([kind for kind in SERVED if kind not in kinds]))
        for kind in kinds:
            self.services[self._named(kind)] = {"kind": kind, "host": host}

    def _client_networks(self, clients: int) -> Iterator[str]:
        left = clients
        while left:
            router, here = self._named("access"), ["backbone"]
            for _ in range(self.rng.randint(*NETWORKS_A_ROUTER)):
                size = min(left, self.rng.randint(*CLIENTS_A_NETWORK))
                if not size:
                    break
                left -= size
                network, groups = self._client_network(size)
                here.append(network)
                yield from groups
            self.routers[router] = {"networks": here}

    def _client_network(self, size: int) -> tuple[str, list[str]]:
        """A network with clients, or one with the boxes of homes; its name and host groups."""
        dual = self.rng.random() < IPV6_SHARE
        if self.rng.random() >= HOME_SHARE:
            rate = self.rng.choice(RATES_MBIT)
            impairments = {"rate_mbit": rate} if rate else None
            network = self._network(self._named("lan"), dual=dual, impairments=impairments)
            return network, self._clients(network, size)
        network = self._network(self._named("street"), dual=dual)
        groups = []
        while size:
            family = min(size, self.rng.randint(2, 8))
            size -= family
            line = {"rate_mbit": self.rng.choice((16, 50, 100))}
            home = self._network(self._named("home"), dual=dual, impairments=line)
            self.routers[self._named("box")] = {
                "networks": [network, home],
                "nat": {"outside": network},
            }
            groups += self._clients(home, family)
        return network, groups

    def _clients(self, network: str, size: int) -> list[str]:
        kinds = self.rng.sample(GROUPS, self.rng.randint(1, min(3, size)))
        cuts = sorted(self.rng.sample(range(1, size), len(kinds) - 1))
        names = []
        for kind, begin, end in zip(kinds, [0, *cuts], [*cuts, size], strict=True):
            name = self._named(kind)
            count = end - begin
            self.hosts[name] = {"networks": [network]} | ({"count": count} if count > 1 else {})
            names.append(name)
        return names

    def _activities(self, groups: Sequence[str]) -> Iterator[tuple[str, Tree]]:
        for kind, (served, share, rate) in ACTIVITIES.items():
            targets = [n for n, s in self.services.items() if served in (None, s["kind"])]
            if not targets:
                continue
            chosen = self.rng.sample(targets, min(len(targets), MOST_TARGETS))
            wanted = max(1, round(share * len(groups)))
            doing = set(self.rng.sample(groups, wanted))
            hosts = [group for group in groups if group in doing]
            users = sum(self.hosts[group].get("count", 1) for group in hosts)
            activity: Tree = {"kind": kind, "hosts": hosts, "services": sorted(chosen)}
            if kind == "scan":
                activity["params"] = {"max_ports": 20}
            mean_s = max(5, round(users / rate))
            arrival = {"distribution": "exponential", "mean_s": mean_s, "maximum_s": 10 * mean_s}
            yield f"{kind}-use", activity | {"session_s": 12, "arrival": arrival}
