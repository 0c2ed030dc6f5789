"""Long cables: VXLAN between bridges on two machines, and the proof that each carries."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from launcher.namespaces import entered
from launcher.plan import LabPlan
from launcher.scaleout.division import CableEnd, network_of
from launcher.wiring import bridge_interface, disable_offloads
from topologies.errors import LabError, MachineError

PORT: Final = 4_789  # of VXLAN, assigned by IANA
_SIOCETHTOOL, _GET_GRO = 0x8946, 0x2B
_HEADERS_BYTES: Final = {4: 50, 6: 70}  # that VXLAN puts before a frame, by the underlay's version
_TRIES, _ANSWER_S = 10, 0.5  # an impaired network may lose a few
_ECHO: Final = {4: (8, 0, socket.IPPROTO_ICMP), 6: (128, 129, socket.IPPROTO_ICMPV6)}
_DONT_FRAGMENT: Final = {
    4: (socket.IPPROTO_IP, 10, 2),  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
    6: (socket.IPPROTO_IPV6, 62, 1),  # IPV6_DONTFRAG
}
_IP_BYTES, _ICMP_BYTES = {4: 20, 6: 40}, 8


def join(plan: LabPlan, fabric: Path, ends: tuple[CableEnd, ...], underlay: str) -> tuple[str, ...]:
    """Put this machine's ends of the long cables into the bridges of its part.

    They are sent from the calling thread's namespace and go with the fabric. What is not as it
    should be, in words, is returned.

    Raises
    ------
    MachineError
        The underlay address is not of this machine, too small for the frames, or there is no VXLAN.
    """
    if not ends:
        return ()
    with IPRoute(groups=0) as ip, fabric.open("rb") as inside:
        interface, mtu = _interface_of(ip, underlay)
        carried = mtu - _HEADERS_BYTES[ip_address(underlay).version]
        for number, end in enumerate(ends):
            segment = next(s for s in plan.segments if s.name == end.segment)
            if segment.mtu > carried:
                raise MachineError(
                    f"network '{network_of(segment.name)}' has packets of {segment.mtu} bytes, and "
                    f"the underlay at {underlay} can carry {carried} of them",
                    remedy=f"raise the MTU there to {segment.mtu + 70}, or put mtu: {carried} on "
                    "the network",
                )
            _add(ip, f"x{number}", end, underlay, mtu=segment.mtu, inside=inside.fileno())
    with entered(fabric), IPRoute(groups=0) as ip:
        for number, end in enumerate(ends):
            index = socket.if_nametoindex(f"x{number}")
            bridge = socket.if_nametoindex(bridge_interface(plan, end.segment))
            with suppress(OSError):  # what VXLAN has no setting for
                disable_offloads(f"x{number}")
            ip.link("set", index=index, master=bridge, state="up", ifalias=end.segment)
    if not merges(interface):
        return ()
    note = f"{interface} of the underlay merges what it receives: captures may have longer frames"
    return (f"{note} than were sent; ethtool -K {interface} gro off",)


def merges(interface: str) -> bool:
    """Whether an interface of the thread's namespace does generic receive offload."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        value = ctypes.create_string_buffer(struct.pack("=II", _GET_GRO, 0), 8)
        request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
        ioctl(handle, _SIOCETHTOOL, request)
        return bool(struct.unpack("=II", value.raw)[1])


def _interface_of(ip: IPRoute, underlay: str) -> tuple[str, int]:
    """Name and MTU of the interface that has the underlay's address."""
    for found in ip.get_addr(family=_family(underlay)):
        if underlay in (found.get_attr("IFA_LOCAL"), found.get_attr("IFA_ADDRESS")):
            link = ip.get_links(found["index"])[0]
            return str(link.get_attr("IFLA_IFNAME")), int(link.get_attr("IFLA_MTU"))
    raise MachineError(
        f"no interface of this machine has the underlay address {underlay}",
        remedy="correct underlay: in the engines file",
    )


def _add(ip: IPRoute, name: str, end: CableEnd, underlay: str, *, mtu: int, inside: int) -> None:
    version = "6" if ip_address(underlay).version == 6 else ""
    local, remote = f"vxlan_local{version}", f"vxlan_group{version}"
    try:
        ip.link(
            "add",
            ifname=name,
            kind="vxlan",
            mtu=mtu,
            net_ns_fd=inside,
            vxlan_id=end.identifier,
            vxlan_port=PORT,
            vxlan_learning=0,
            **{local: underlay, remote: end.remote},
        )
    except NetlinkError as error:
        if error.code == errno.EOPNOTSUPP:
            raise MachineError(
                "this machine's kernel has no VXLAN", remedy="load it: modprobe vxlan"
            ) from error
        raise LabError(
            f"the cable of '{end.segment}' to {end.remote} cannot be laid: {error}"
        ) from error


def carries(node: Path, source: str, target: str, *, mtu: int) -> bool:
    """Whether a node's network lets a full packet through to ``target`` and back."""
    version = ip_address(target).version
    request, reply, protocol = _ECHO[version]
    payload = os.urandom(mtu - _IP_BYTES[version] - _ICMP_BYTES)
    with entered(node), socket.socket(_family(target), socket.SOCK_DGRAM, protocol) as handle:
        handle.setsockopt(*_DONT_FRAGMENT[version])
        handle.bind((source, 0))
        for number in range(_TRIES):
            with suppress(OSError):  # not reachable yet: its address is still being asked for
                head = struct.pack("!BBHHH", request, 0, 0, 0, number)
                handle.sendto(head + payload, (target, 0))
            if any(data[0] == reply and data[8:] == payload for data in _arriving(handle)):
                return True
    return False


def _arriving(handle: socket.socket) -> Iterator[bytes]:
    deadline = time.monotonic() + _ANSWER_S
    while (left_s := deadline - time.monotonic()) > 0:
        if select.select([handle], [], [], left_s)[0]:
            with suppress(OSError):  # what an ICMP error made of the last one
                yield handle.recv(1 << 16)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
