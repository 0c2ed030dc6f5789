"""Wiring, impairments and isolation, on a real lab: two client LANs, a router, a server LAN."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from launcher import namespaces, remains
from launcher.addressing import lab_plan
from launcher.impair import Links
from launcher.plan import LabPlan
from launcher.wiring import bridge_interface, port_interface, wire
from topologies import Topology
from topologies.errors import LabError

MTU = 1_400
RATE_MBIT = 10.0


def topology(**server_network: object) -> Topology:
    return Topology.model_validate(
        {
            "name": "wired",
            "networks": {
                "office": {"subnet": "198.18.1.0/24", "mtu": MTU},
                "campus": {"subnet": "198.18.2.0/24"},
                "servers": {"subnet": "198.18.3.0/24", **server_network},
            },
            "routers": {"core": {"networks": ["office", "campus", "servers"]}},
            "hosts": {
                "clerk": {"networks": ["office"], "count": 2},
                "student": {"networks": ["campus"]},
                "www": {"networks": ["servers"]},
            },
        }
    )


@dataclass(frozen=True)
class Wired:
    plan: LabPlan
    fabric: Path
    nodes: Mapping[str, Path]
    links: Links

    def address(self, node: str, link: int = 0) -> str:
        return str(self.plan.node(node).links[link].address)

    def run(self, node: str, code: str) -> str:
        """Output of Python code that runs in a node."""
        process = namespaces.start_process(
            self.nodes[node], [sys.executable, "-c", code], output=subprocess.PIPE
        )
        out, _ = process.communicate(timeout=30)
        return out.decode().strip()


@contextmanager
def wired(plan: LabPlan) -> Iterator[Wired]:
    lab = secrets.token_hex(3)
    try:
        fabric = namespaces.create(remains.fabric_name(lab))
        nodes = {
            node.name: namespaces.create(remains.namespace_name(lab, node.name))
            for node in plan.nodes
        }
        with closing(wire(plan, fabric, nodes)) as links:
            yield Wired(plan, fabric, nodes, links)
    finally:
        remains.remove(lab)


@pytest.fixture(scope="module")
def lab() -> Iterator[Wired]:
    with wired(lab_plan(topology())) as made:
        yield made


def tcp_transfer(lab: Wired, client: str, server: str, size: int) -> float:
    """Send ``size`` bytes from one node to another; how many seconds until all have arrived."""
    with namespaces.entered(lab.nodes[server]):
        listener = socket.create_server((lab.address(server), 0))
    with listener:
        with namespaces.entered(lab.nodes[client]):
            sender = socket.create_connection(listener.getsockname(), timeout=10)
        receiver, _ = listener.accept()
    with sender, receiver:
        started = time.monotonic()
        writing = threading.Thread(target=sender.sendall, args=(bytes(size),))
        writing.start()
        left = size
        while left:
            left -= len(receiver.recv(65_536))
        writing.join()
        return time.monotonic() - started


def ping(lab: Wired, source: str, target: str, *, size: int = 56, fragment: bool = True) -> bool:
    """Whether an echo comes back; datagram ICMP sockets need no right but the ping group."""
    with namespaces.entered(lab.nodes[source]):
        handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    with handle:
        handle.settimeout(5)
        ip_mtu_discover, never, always = 10, 0, 2
        discover = never if fragment else always
        handle.setsockopt(socket.IPPROTO_IP, ip_mtu_discover, discover)
        handle.sendto(b"\x08\0\0\0\0\0\0\1" + bytes(size), (target, 0))
        return handle.recv(65_536)[0] == 0


@pytest.mark.lab
def test_every_host_reaches_every_other_through_the_router(lab: Wired) -> None:
    hosts = [node.name for node in lab.plan.nodes if not node.forwards]
    for source in hosts:
        for target in hosts:
            if source != target:
                assert ping(lab, source, lab.address(target))
    assert tcp_transfer(lab, "clerk-1", "www", 1 << 20) < 10


@pytest.mark.lab
def test_the_mtu_is_that_of_the_network(lab: Wired) -> None:
    headers = 20 + 8
    neighbour = lab.address("clerk-2")
    assert ping(lab, "clerk-1", neighbour, size=MTU - headers, fragment=False)
    with pytest.raises(OSError, match="too long"):
        ping(lab, "clerk-1", neighbour, size=MTU - headers + 1, fragment=False)
    assert ping(lab, "student", lab.address("clerk-1"), size=1_400)  # the router cuts it up


@pytest.mark.lab
def test_nothing_reaches_outside_the_lab(lab: Wired) -> None:
    machine = [address for address in _addresses() if not address.startswith("127.")]
    for node in lab.nodes:
        with namespaces.entered(lab.nodes[node]), IPRoute(groups=0) as ip:
            routes = ip.get_routes(family=socket.AF_INET, table=254)
            assert all(route["dst_len"] >= 15 for route in routes)
            assert all(_in_lab(route.get_attr("RTA_DST")) for route in routes)
        for outside in ("192.0.2.1", "8.8.8.8", *machine):
            with (
                namespaces.entered(lab.nodes[node]),
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle,
                pytest.raises(OSError, match="unreachable"),
            ):
                handle.connect((outside, 53))


@pytest.mark.lab
def test_nothing_of_a_lab_is_in_the_namespace_of_the_machine(lab: Wired) -> None:
    with IPRoute(groups=0) as ip:
        names = {link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
        assert not any(link.get_attr("IFLA_LINK_NETNSID") is not None for link in ip.get_links())
    assert not names & {bridge_interface(lab.plan, s.name) for s in lab.plan.segments}
    assert not any(_in_lab(address) for address in _addresses())


@pytest.mark.lab
def test_only_routers_forward(lab: Wired) -> None:
    read = "print(open('/proc/sys/net/ipv4/ip_forward').read())"
    assert lab.run("core", read) == "1"
    assert lab.run("www", read) == "0"


@pytest.mark.lab
def test_ipv6_is_the_loopbacks_alone_and_low_ports_are_for_everybody(lab: Wired) -> None:
    addresses = lab.run("www", "print(open('/proc/net/if_inet6').read())").splitlines()
    assert {line.split()[-1] for line in addresses} <= {"lo"}
    code = "import os, socket; os.setuid(65534); print(socket.create_server(('', 80)).fileno() > 0)"
    assert lab.run("www", code) == "True"


@pytest.mark.lab
def test_frames_are_as_on_a_wire(lab: Wired) -> None:
    """No segment is longer than the MTU and every checksum is right, where captures are taken."""
    with namespaces.entered(lab.fabric):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        tap.bind((bridge_interface(lab.plan, "servers"), 0))
        _be_promiscuous(tap, bridge_interface(lab.plan, "servers"))
    with tap:
        tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        tcp_transfer(lab, "student", "www", 1 << 20)
        tap.setblocking(False)
        frames = list(_received(tap))
    segments = [frame[14:] for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 6]
    assert len(segments) > 700
    assert max(map(len, segments)) == 1_500
    assert {_checksum_sum(packet) for packet in segments} == {0xFFFF}


@pytest.mark.lab
def test_addresses_of_the_wires_are_the_same_every_time(lab: Wired) -> None:
    with namespaces.entered(lab.nodes["www"]), IPRoute(groups=0) as ip:
        link = ip.get_links(ifname="eth0")[0]
        assert link.get_attr("IFLA_ADDRESS") == "02:00:c6:12:03:02"
    with namespaces.entered(lab.fabric), IPRoute(groups=0) as ip:
        port = port_interface(lab.plan, "www", "eth0")
        assert ip.get_links(ifname=port)[0].get_attr("IFLA_ADDRESS") == "06:00:c6:12:03:02"


@pytest.mark.lab
def test_a_rate_limit_holds_both_ways() -> None:
    plan = lab_plan(topology(impairments={"rate_mbit": RATE_MBIT}))
    size = 2_500_000
    with wired(plan) as lab:
        for client, server in (("student", "www"), ("www", "student")):
            measured = size * 8 / 1e6 / tcp_transfer(lab, client, server, size)
            assert measured == pytest.approx(RATE_MBIT, rel=0.15)
        unlimited = size * 8 / 1e6 / tcp_transfer(lab, "student", "clerk-1", size)
        assert unlimited > 5 * RATE_MBIT


@pytest.mark.lab
def test_a_fault_names_where_it_is(lab: Wired) -> None:
    with pytest.raises(LabError, match=r"network 'office' could not be wired: .*File exists"):
        wire(lab.plan, lab.fabric, lab.nodes)


def _addresses() -> list[str]:
    """IPv4 addresses of the machine itself."""
    with IPRoute(groups=0) as ip:
        return [item.get_attr("IFA_ADDRESS") for item in ip.get_addr(family=socket.AF_INET)]


def _in_lab(address: str) -> bool:
    return address.startswith(("198.18.", "198.19."))


def _be_promiscuous(handle: socket.socket, interface: str) -> None:
    packet_add_membership, promiscuous, sol_packet = 1, 1, 263
    index = socket.if_nametoindex(interface).to_bytes(4, sys.byteorder)
    request = index + promiscuous.to_bytes(2, sys.byteorder) + bytes(10)
    handle.setsockopt(sol_packet, packet_add_membership, request)


def _received(handle: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield handle.recv(65_536)
        except BlockingIOError:
            return


def _checksum_sum(packet: bytes) -> int:
    """One's complement sum of a TCP packet with its pseudo header: 0xFFFF when it is right."""
    header = (packet[0] & 15) * 4
    tcp = packet[header : int.from_bytes(packet[2:4], "big")]
    data = packet[12:20] + b"\0\x06" + len(tcp).to_bytes(2, "big") + tcp + b"\0" * (len(tcp) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
