"""Which addresses a lab may use: ranges reserved for benchmarks, which nobody routes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Literal, overload
from urllib.parse import urlsplit

from topologies.faults import fault

Version = Literal[4, 6]
Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

LAB_ADDRESSES: Final = IPv4Network("198.18.0.0/15")
"""RFC 2544."""
LAB_ADDRESSES6: Final = IPv6Network("2001:2::/48")
"""RFC 5180."""
VERSIONS: Final[tuple[Version, ...]] = (4, 6)
SUBNET6_LENGTH: Final = 64


def lab_range(version: Version) -> Prefix:
    """All addresses of one IP version that a lab may use."""
    return LAB_ADDRESSES if version == 4 else LAB_ADDRESSES6


def check_subnet(subnet: IPv4Network) -> IPv4Network:
    """The subnet, if a network of a lab may have it; raises a fault."""
    if not subnet.subnet_of(LAB_ADDRESSES) or not 16 <= subnet.prefixlen <= 29:
        raise fault(
            expected=f"a /16 to /29 network inside {LAB_ADDRESSES}",
            got=str(subnet),
            remedy="lab traffic uses only this range; choose for example 198.18.1.0/24",
        )
    return subnet


def check_subnet6(subnet: IPv6Network) -> IPv6Network:
    """The subnet, if a network of a lab may have it; raises a fault."""
    if not subnet.subnet_of(LAB_ADDRESSES6) or subnet.prefixlen != SUBNET6_LENGTH:
        raise fault(
            expected=f"a /{SUBNET6_LENGTH} network inside {LAB_ADDRESSES6}",
            got=str(subnet),
            remedy="lab traffic uses only this range; choose for example 2001:2:0:1::/64",
        )
    return subnet


def address_capacity(subnet: IPv4Network) -> int:
    """Hosts a subnet holds."""
    return subnet.num_addresses - 2


@overload
def nth_address(subnet: IPv4Network, n: int) -> IPv4Address: ...
@overload
def nth_address(subnet: IPv6Network, n: int) -> IPv6Address: ...
def nth_address(subnet: Prefix, n: int) -> Address:
    """Address number ``n`` (from 1) of a subnet."""
    return subnet.network_address + n


def outside_addresses(value: object) -> Iterator[str]:
    """Every address in a plain value that lies outside the lab: of hosts, networks and URLs."""
    if isinstance(value, dict):
        for item in value.values():
            yield from outside_addresses(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from outside_addresses(item)
    elif isinstance(value, str) and _is_outside(value):
        yield value


def _is_outside(text: str) -> bool:
    found = _network(text)
    if found is None or found.is_loopback or found.network_address.is_unspecified:
        return False
    allowed = lab_range(found.version)
    return not (found.network_address in allowed and found.broadcast_address in allowed)


def _network(text: str) -> Prefix | None:
    """The address, network or URL with an address that a text is."""
    for part in (text, _host_of(text)):
        try:
            return ip_network(part, strict=False) if "/" in part else ip_network(ip_address(part))
        except ValueError:
            continue
    return None


def _host_of(text: str) -> str:
    try:
        return urlsplit(text if "//" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""
