"""IPv6 beside and instead of IPv4, and links of different MTU on one way."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from launcher import namespaces
from tests.launcher.probes import Up, up
from topologies import Topology

IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, ALWAYS = 10, 23, 2
IP_MTU, IPV6_MTU = 14, 24
SMALL, JUMBO = 1_280, 9_000
HEADERS = {4: 20 + 8, 6: 40 + 8}

TOPOLOGY = Topology.model_validate(
    {
        "name": "dual",
        "networks": {
            "old": {"subnet": "198.18.1.0/24"},
            "both": {"subnet": "198.18.2.0/24", "subnet6": "2001:2:0:2::/64", "mtu": JUMBO},
            "new": {"subnet6": "2001:2:0:3::/64"},
            "narrow": {"subnet": "198.18.4.0/24", "subnet6": "2001:2:0:4::/64", "mtu": SMALL},
            "far": {"subnet": "198.18.5.0/24", "subnet6": "2001:2:0:5::/64", "mtu": JUMBO},
        },
        "routers": {
            "near": {"networks": ["old", "both", "new", "narrow"]},
            "edge": {"networks": ["narrow", "far"]},
        },
        "hosts": {
            "old-host": {"networks": ["old"]},
            "new-host": {"networks": ["new"]},
            "client": {"networks": ["both"]},
            "server": {"networks": ["far"]},
        },
    }
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Up]:
    with up(TOPOLOGY) as made:
        yield made


def test_hosts_reach_each_other_by_what_they_have_in_common(lab: Up) -> None:
    lab.transfer("client", "new-host", lab.address("new-host", 6), 100_000)
    lab.transfer("new-host", "server", lab.address("server", 6), 100_000)
    lab.transfer("old-host", "server", lab.address("server"), 100_000)
    assert lab.plan.node("new-host").versions == {6}


def test_addresses_can_be_used_at_once_and_only_where_there_are_any(lab: Up) -> None:
    """None of them is tentative: a lab does not wait for duplicates to speak up."""

    def addresses(node: str) -> list[list[str]]:
        with namespaces.entered(lab.namespace(node)):
            lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
        return [line.split() for line in lines]

    tentative = 0x40
    assert {fields[5] for fields in addresses("old-host")} <= {"lo"}
    assert not any(int(flags, 16) & tentative for *_, flags, _ in addresses("client"))
    assert "20010002000000020000000000000002" in {fields[0] for fields in addresses("client")}
    # The router's interface on the old network has IPv4 alone.
    assert {fields[5] for fields in addresses("near")} == {"lo", "eth1", "eth2", "eth3"}


def test_names_stand_for_all_addresses(lab: Up) -> None:
    assert set(lab.plan.host_addresses) >= {
        ("client", lab.plan.node("client").address_of(4)),
        ("client", lab.plan.node("client").address_of(6)),
    }
    hosts = (lab.backend._lab.folder / "hosts").read_text().splitlines()
    assert {"198.18.2.2 client", "2001:2:0:2::2 client"} <= set(hosts)


@pytest.mark.parametrize("version", [4, 6])
def test_jumbo_frames_go_as_far_as_they_can_and_senders_learn_how_far(
    lab: Up, version: Literal[4, 6]
) -> None:
    target = lab.address("server", version)
    level = socket.IPPROTO_IP if version == 4 else socket.IPPROTO_IPV6
    discover, mtu = (IP_MTU_DISCOVER, IP_MTU) if version == 4 else (IPV6_MTU_DISCOVER, IPV6_MTU)
    with (
        lab.socket("server", target, socket.SOCK_DGRAM) as receiver,
        lab.socket("client", target, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((target, 0))
        receiver.settimeout(5)
        sender.settimeout(5)
        sender.setsockopt(level, discover, ALWAYS)
        sender.connect(receiver.getsockname())
        assert sender.getsockopt(level, mtu) == JUMBO
        while sender.getsockopt(level, mtu) == JUMBO:  # until a router has said better
            with contextlib.suppress(OSError):
                sender.send(bytes(JUMBO - HEADERS[version]))
        assert sender.getsockopt(level, mtu) == SMALL
        with pytest.raises(OSError, match="too long"):
            sender.send(bytes(SMALL - HEADERS[version] + 1))
        sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # what the router said is read
        sender.send(bytes(SMALL - HEADERS[version]))
        assert len(receiver.recv(1 << 16)) == SMALL - HEADERS[version]
    lab.transfer("client", "server", target, 1 << 20)


def test_the_way_out_of_a_lab_is_closed_for_ipv6_too(lab: Up) -> None:
    for node in ("client", "new-host", "near"):
        for outside in ("2001:db8::1", "2606:4700::1111", "2001:2:1::1"):
            assert lab.tried(node, outside, 53) == "unreachable"
