"""What a picture of a topology shows: boxes and the cables between them, with their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from topologies.schema import Network, Router, Service, Topology

BadgeKind = Literal["nat", "firewall", "system", "mtu", "impaired", "capture"]

TITLE_PX, TEXT_PX, SMALL_PX = 13, 11, 10
PADDING, HEAD_HEIGHT, LINE_HEIGHT, SMALL_HEIGHT, BADGE_HEIGHT = 9, 22, 15, 12, 16
LEAST_WIDTH: Final = 96
TIMES: Final = " \N{MULTIPLICATION SIGN}"
MOST_GROUPS: Final = 9
SERVICES_A_LINE: Final = 2
_CHARACTER: Final = 0.6  # width of one, in font sizes
_USUAL_MTU: Final = 1_500
_QUALITIES: Final = {
    "rate_mbit": "{:g} Mbit/s",
    "delay_ms": "{:g} ms",
    "loss_percent": "{:g} % loss",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A coloured mark on a box."""

    kind: BadgeKind
    text: str

    @property
    def width(self) -> float:
        """Pixels."""
        return text_width(self.text, SMALL_PX) + 10


@dataclass(frozen=True, slots=True)
class Entry:
    """Alike hosts on a network, and what they serve, a few to a line."""

    text: str
    services: tuple[str, ...]

    @property
    def height(self) -> float:
        """Pixels."""
        return LINE_HEIGHT + SMALL_HEIGHT * len(self.services)


@dataclass(frozen=True, slots=True)
class Box:
    """A network or a router."""

    key: str
    kind: Literal["network", "router"]
    title: str
    details: tuple[str, ...]
    badges: tuple[Badge, ...]
    entries: tuple[Entry, ...]

    @property
    def width(self) -> float:
        """Pixels."""
        widths = [text_width(self.title, TITLE_PX) * 1.12]
        widths += [text_width(line, SMALL_PX) for line in self.details]
        widths += [text_width(entry.text, TEXT_PX) for entry in self.entries]
        widths += [text_width(line, SMALL_PX) + 8 for e in self.entries for line in e.services]
        widths.append(sum(badge.width + 4 for badge in self.badges))
        return max(LEAST_WIDTH, max(widths) + 2 * PADDING)

    @property
    def head_height(self) -> float:
        """Pixels of its title, details and badges."""
        return (
            HEAD_HEIGHT
            + SMALL_HEIGHT * len(self.details)
            + (BADGE_HEIGHT + 3 if self.badges else 0)
        )

    @property
    def height(self) -> float:
        """Pixels."""
        entries = sum(entry.height for entry in self.entries)
        return self.head_height + 4 + (entries + PADDING if entries else 0)


@dataclass(frozen=True, slots=True)
class Cable:
    """A connection of two boxes; one that stands for a network has its name."""

    ends: tuple[str, str]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything in a picture."""

    title: str
    description: str
    boxes: Mapping[str, Box]
    cables: tuple[Cable, ...]


def text_width(text: str, size: float) -> float:
    """About how many pixels a text takes in the fonts that browsers have."""
    return len(text) * size * _CHARACTER


def scene(topology: Topology) -> Scene:
    """Decide what becomes a box and what a cable."""
    links = dict(_links(topology))
    boxes = {f"n:{n}": _network(topology, n) for n in topology.networks if n not in links}
    boxes |= {f"r:{name}": _router(name, router) for name, router in topology.routers.items()}
    cables = [
        Cable((f"r:{name}", f"n:{network}"))
        for name, router in topology.routers.items()
        for network in router.networks
        if network not in links
    ]
    cables += [Cable((f"r:{a}", f"r:{b}"), name) for name, (a, b) in links.items()]
    machines = len(topology.routers) + sum(host.count for host in topology.hosts.values())
    about = f"{machines} machines, {len(topology.networks)} networks. {topology.description}"
    return Scene(topology.name, about, boxes, tuple(cables))


def _links(topology: Topology) -> Iterator[tuple[str, tuple[str, str]]]:
    """Networks without hosts that do no more than join two routers."""
    inhabited = {name for host in topology.hosts.values() for name in host.networks}
    for name in topology.networks:
        routers = [r for r, router in topology.routers.items() if name in router.networks]
        if name not in inhabited and len(routers) == 2:
            yield name, (routers[0], routers[1])


def _network(topology: Topology, name: str) -> Box:
    network = topology.networks[name]
    captured = name in topology.capture_points
    badges = [*([Badge("capture", "captured")] if captured else []), *_qualities(network)]
    groups = [group for group, host in topology.hosts.items() if name in host.networks]
    shown = groups if len(groups) <= MOST_GROUPS else groups[: MOST_GROUPS - 1]
    entries = [_entry(topology, group) for group in shown]
    if rest := groups[len(shown) :]:
        hosts = sum(topology.hosts[group].count for group in rest)
        entries.append(Entry(f"… and {len(rest)} more groups, {hosts} hosts", ()))
    details = tuple(str(subnet) for subnet in network.subnets)
    return Box(f"n:{name}", "network", name, details, tuple(badges), tuple(entries))


def _qualities(network: Network) -> Iterator[Badge]:
    if network.mtu != _USUAL_MTU:
        yield Badge("mtu", f"MTU {network.mtu}")
    asked: dict[str, Any] = network.impairments.model_dump(exclude_defaults=True)
    said = [_QUALITIES[key].format(v) for key, v in asked.items() if key in _QUALITIES and v]
    if asked:
        yield Badge("impaired", " · ".join(said) or "impaired")


def _entry(topology: Topology, group: str) -> Entry:
    count = topology.hosts[group].count
    own = [(name, s) for name, s in topology.services.items() if s.host == group]
    said = [_service(name, service) for name, service in own]
    lines = [", ".join(said[i : i + SERVICES_A_LINE]) for i in range(0, len(said), SERVICES_A_LINE)]
    return Entry(group if count == 1 else f"{group}{TIMES}{count}", tuple(lines))


def _service(name: str, service: Service) -> str:
    port = "" if service.port is None else f" {service.port}"
    version = " IPv6" if service.ip_version == 6 else ""
    return f"{name} ({service.kind}{port}{version})"


def _router(name: str, router: Router) -> Box:
    badges: list[Badge] = []
    if router.asn is not None:
        badges.append(Badge("system", f"AS {router.asn}"))
    if router.nat is not None:
        badges.append(Badge("nat", "NAT"))
    if router.firewall is not None:
        badges.append(Badge("firewall", f"firewall, {len(router.firewall.rules)} rules"))
    return Box(f"r:{name}", "router", name, (), tuple(badges), ())
