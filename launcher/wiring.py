"""The wiring of a lab, the same for every back end: bridges, cables, addresses, routes.

All bridges live in one network namespace of the lab, its fabric. A cable (a veth pair) runs from
there to each interface of each node, whatever made the node's namespace. Nothing is ever created in
the host's own namespace, and no node gets a default route, so a lab cannot reach outside itself.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from launcher import nftables
from launcher.impair import Links, Place
from launcher.namespaces import entered, write_setting
from launcher.plan import LabPlan, Link, Node, Segment
from topologies.addresses import Address
from topologies.errors import LabError, MachineError

_SIOCETHTOOL: Final = 0x8946
# Set-commands of ethtool(2): rx and tx checksums, scatter-gather, tso, gso, gro.
_OFFLOADS: Final = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)
_IPV6: Final = Path("/proc/sys/net/ipv6")
_NO_DETECTION: Final = 0x02  # IFA_F_NODAD
_NODE_MAC, _PORT_MAC, _BRIDGE_MAC = 0x02, 0x06, 0x0A  # first octets, all locally administered


def bridge_interface(plan: LabPlan, network: str) -> str:
    """Name, in the fabric, of the bridge that is ``network``: where to capture it."""
    index = next(i for i, segment in enumerate(plan.segments) if segment.name == network)
    return f"br{index}"


def port_interface(plan: LabPlan, node: str, interface: str) -> str:
    """Name, in the fabric, of the far end of a node's interface."""
    index = next(i for i, candidate in enumerate(plan.nodes) if candidate.name == node)
    return f"p{index}-{interface.removeprefix('eth')}"


def node_mac(link: Link) -> str:
    """Ethernet address of a node's interface."""
    return _mac(_NODE_MAC, link.address)


def capture_place(plan: LabPlan, point: str) -> tuple[str, str]:
    """Where a capture point is: the node, empty for the fabric, and the interface's name there.

    A point is a network (its bridge), or an end of a node's cable: ``client:eth0`` in the node,
    ``client:port0`` the same cable's end at the network.
    """
    node, _, interface = point.partition(":")
    if not interface:
        return "", bridge_interface(plan, point)
    if interface.startswith("port"):
        return "", port_interface(plan, node, interface.replace("port", "eth"))
    return node, interface


def wire(plan: LabPlan, fabric: Path, nodes: Mapping[str, Path]) -> Links:
    """Build every network of ``plan`` and connect its nodes; its impaired links, to be closed.

    ``fabric`` and the values of ``nodes`` are network namespaces: ``/run/netns/NAME`` or
    ``/proc/PID/ns/net``. They must be empty but for the loopback.

    Raises
    ------
    MachineError
        The kernel lacks what a network asks for, or this user may not wire.
    LabError
        Something in the plan could not be made; says on which node or network.
    """
    links = Links(_places(plan, nodes), fabric=fabric, seed=plan.seed)
    try:
        _wire_fabric(plan, fabric, nodes, links)
        for node in plan.nodes:
            with _explained(f"node '{node.name}'"), entered(nodes[node.name]):
                _set_up_node(node)
        with _explained("the impaired links"):
            links.begin()
    except BaseException:
        links.close()
        raise
    return links


def _places(plan: LabPlan, nodes: Mapping[str, Path]) -> list[Place]:
    """Every cable of the lab."""
    segments = {segment.name: segment for segment in plan.segments}
    made = []
    for number, node in enumerate(plan.nodes):
        for link in node.links:
            port = f"p{number}-{link.interface.removeprefix('eth')}"
            ends = (port, *_gap(port))
            made.append(
                Place(segments[link.network], node.name, nodes[node.name], link.interface, *ends)
            )
    return made


def _gap(port: str) -> tuple[str, str]:
    """Names of a cut cable's ends, that of the bridge's part and that of the node's part."""
    return f"n{port[1:]}", f"f{port[1:]}"


def _wire_fabric(plan: LabPlan, fabric: Path, nodes: Mapping[str, Path], links: Links) -> None:
    with entered(fabric):
        _disable_ipv6()
        with IPRoute(groups=0) as ip:
            for segment in plan.segments:
                with _explained(f"network '{segment.name}'"):
                    _add_bridge(ip, plan, segment)
            for node in plan.nodes:
                with _explained(f"node '{node.name}'"):
                    for link in node.links:
                        cut = links.cut(link.network)
                        _add_cable(ip, plan, node, link, namespace=nodes[node.name], cut=cut)


def _add_bridge(ip: IPRoute, plan: LabPlan, segment: Segment) -> None:
    name = bridge_interface(plan, segment.name)
    ip.link(
        "add",
        ifname=name,
        kind="bridge",
        address=_mac(_BRIDGE_MAC, segment.subnet.network_address),
        br_stp_state=0,
        br_forward_delay=0,
        br_mcast_snooping=0,
    )
    ip.link("set", index=_index(name), mtu=segment.mtu, state="up", ifalias=segment.name)


def _add_cable(
    ip: IPRoute, plan: LabPlan, node: Node, link: Link, *, namespace: Path, cut: bool
) -> None:
    """Connect a node to its bridge; a cut cable leaves a gap in the fabric."""
    segment = next(s for s in plan.segments if s.name == link.network)
    port = port_interface(plan, node.name, link.interface)
    near, far = _gap(port)
    mac = _mac(_PORT_MAC, link.address)
    with namespace.open("rb") as inside:
        ip.link(
            "add",
            ifname=far if cut else port,
            kind="veth",
            mtu=segment.mtu,
            **({} if cut else {"address": mac}),
            peer={
                "ifname": link.interface,
                "mtu": segment.mtu,
                "address": node_mac(link),
                "net_ns_fd": inside.fileno(),
            },
        )
    if cut:
        peer = {"ifname": near, "mtu": segment.mtu}
        ip.link("add", ifname=port, kind="veth", mtu=segment.mtu, address=mac, peer=peer)
        for end in (near, far):
            disable_offloads(end)
            ip.link("set", index=_index(end), state="up", ifalias=node.name)
    index, bridge = _index(port), _index(bridge_interface(plan, link.network))
    disable_offloads(port)
    ip.link("set", index=index, master=bridge, state="up", ifalias=node.name)


def _set_up_node(node: Node) -> None:
    _ipv6_settings(node)
    _node_settings(node)
    with IPRoute(groups=0) as ip:
        ip.link("set", index=_index("lo"), state="up")
        for link in node.links:
            index = _index(link.interface)
            disable_offloads(link.interface)
            for address in link.addresses:
                ip.addr(
                    "add",
                    index=index,
                    address=str(address.ip),
                    prefixlen=address.network.prefixlen,
                    # The plan gives each address once: nobody has to ask around for it first.
                    flags=_NO_DETECTION if address.version == 6 else 0,
                )
            # One packet at a time through the host's own stack too, where conntrack counts them.
            ip.link("set", index=index, state="up", gso_max_segs=1)
        for route in node.routes:
            ip.route("add", dst=str(route.destination), gateway=str(route.gateway))
    if rules := nftables.ruleset(node):
        nftables.load(rules)


def _disable_ipv6() -> None:
    """No neighbour discovery or multicast listener noise; a kernel without IPv6 is as good."""
    if _IPV6.exists():
        for scope in ("all", "default"):
            write_setting(f"ipv6/conf/{scope}/disable_ipv6", "1")


def _ipv6_settings(node: Node) -> None:
    """IPv6 on the links that have it, with nothing that configures itself."""
    if 6 not in node.versions:
        _disable_ipv6()
        if _IPV6.exists():  # programs look for ::1 on every machine, and never leave it by that
            write_setting("ipv6/conf/lo/disable_ipv6", "0")
        return
    if not _IPV6.exists():
        raise MachineError(
            f"node '{node.name}' has an IPv6 address, and this kernel has no IPv6",
            remedy="start the machine without ipv6.disable=1, or leave subnet6 out",
        )
    for scope in ("all", "default"):
        write_setting(f"ipv6/conf/{scope}/disable_ipv6", "0")
    write_setting("ipv6/conf/all/forwarding", "1" if node.forwards else "0")
    for link in node.links:
        place = f"ipv6/conf/{link.interface}"
        on_it = any(address.version == 6 for address in link.addresses)
        write_setting(f"{place}/disable_ipv6", "0" if on_it else "1")
        for name in ("accept_ra", "autoconf", "router_solicitations", "accept_dad"):
            write_setting(f"{place}/{name}", "0")


def _node_settings(node: Node) -> None:
    # A new namespace copies the host's IPv4 settings, so each one that matters is spelled out.
    write_setting("ipv4/ip_forward", "1" if node.forwards else "0")
    for link in node.links:
        write_setting(f"ipv4/conf/{link.interface}/rp_filter", "0")
    write_setting("ipv4/conf/all/rp_filter", "0")
    write_setting("ipv4/ip_unprivileged_port_start", "0")
    write_setting("ipv4/ping_group_range", f"0 {_last_group()}")


def _last_group() -> int:
    """Highest group id that exists here: a user namespace has fewer than the machine."""
    lines = Path("/proc/self/gid_map").read_text(encoding="ascii").splitlines()
    ends = [int(first) + int(count) - 1 for first, _, count in map(str.split, lines)]
    return min(max(ends), 2**31 - 1)


def disable_offloads(interface: str) -> None:
    """Make an interface of the thread's namespace send only frames as they are on a wire.

    No segmentation or receive offload (a capture would hold frames of 64 KB) and no checksum
    offload (it would hold wrong checksums).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0), 8)
            request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
            ioctl(handle, _SIOCETHTOOL, request)


def _index(interface: str) -> int:
    return socket.if_nametoindex(interface)


def _mac(first: int, address: Address) -> str:
    """A wire address of its own for each: the IPv4 address; of IPv6 the subnet and the end."""
    packed = address.packed
    tail = (0, *packed) if address.version == 4 else (1, *packed[6:8], *packed[14:])
    return ":".join(f"{octet:02x}" for octet in (first, *tail))


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn the kernel's refusals into errors that say what was being wired."""
    try:
        yield
    except (OSError, NetlinkError) as error:
        raise _failed(what, error) from error


def _failed(what: str, error: OSError | NetlinkError) -> LabError | MachineError:
    number = error.code if isinstance(error, NetlinkError) else error.errno
    if number in (errno.EPERM, errno.EACCES):
        return MachineError(
            f"{what} cannot be wired ({error})",
            remedy="run as root, or ask 'gsta doctor' whether a rootless lab is possible",
        )
    if number == errno.EOPNOTSUPP:
        return MachineError(
            f"{what} cannot be wired ({error})",
            remedy="load the kernel's network devices: modprobe -a veth bridge",
        )
    return LabError(f"{what} could not be wired: {error}")
