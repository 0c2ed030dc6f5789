"""NAT and firewalls of routers: what the plan says, and what the kernel then does."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from typing import Literal

import pytest

from launcher import namespaces
from launcher.addressing import lab_plan
from launcher.plan import FilterRule
from tests.launcher.probes import Up, up
from topologies import Topology

TOPOLOGY = Topology.model_validate(
    {
        "name": "guarded",
        "networks": {
            "home": {"subnet": "198.18.1.0/24", "subnet6": "2001:2:0:1::/64"},
            "street": {"subnet": "198.18.2.0/24", "subnet6": "2001:2:0:2::/64"},
            "servers": {"subnet": "198.18.3.0/24", "subnet6": "2001:2:0:3::/64"},
        },
        "routers": {
            "box": {"networks": ["street", "home"], "nat": {"outside": "street"}},
            "guard": {
                "networks": ["street", "servers"],
                "firewall": {
                    "default": "drop",
                    "rules": [
                        {"action": "accept", "from": ["servers"]},
                        {"action": "reject", "from": ["thief"]},
                        {
                            "action": "accept",
                            "to": ["www"],
                            "protocol": "tcp",
                            "ports": [443, "8000-8010"],
                        },
                        {"action": "accept", "to": ["names"], "protocol": "udp", "ports": [53]},
                        {"action": "reject", "to": ["names"], "protocol": "tcp", "ports": [53]},
                        {"action": "accept", "protocol": "icmp"},
                    ],
                },
            },
        },
        "hosts": {
            "family": {"networks": ["home"], "count": 2},
            "passer-by": {"networks": ["street"]},
            "thief": {"networks": ["street"], "count": 3},
            "www": {"networks": ["servers"]},
            "names": {"networks": ["servers"]},
        },
    }
)


def test_a_rule_s_names_become_as_few_ranges_as_can_be() -> None:
    guard = lab_plan(TOPOLOGY).node("guard").filter
    assert guard is not None
    assert guard.default == "drop"
    # Addresses 4 to 6 of the street: a pair, and one.
    assert guard.rules[1].sources == (
        ip_network("198.18.2.4/31"),
        ip_network("198.18.2.6/32"),
        ip_network("2001:2:0:2::4/127"),
        ip_network("2001:2:0:2::6/128"),
    )
    www = (ip_network("198.18.3.2/32"), ip_network("2001:2:0:3::2/128"))
    assert guard.rules[2] == FilterRule("accept", (), www, "tcp", ((443, 443), (8_000, 8_010)))


def test_the_plan_says_what_stands_for_what() -> None:
    plan = lab_plan(TOPOLOGY)
    (nat,) = plan.translations
    assert (nat.router, nat.network, str(nat.address)) == ("box", "street", "198.18.2.1")
    assert nat.inside == (ip_network("198.18.1.0/24"),)
    own = [ip_address("198.18.1.3"), ip_address("2001:2:0:1::3")]
    assert plan.seen_as("family-2") == (*own, nat.address)
    assert plan.seen_as("www") == (ip_address("198.18.3.2"), ip_address("2001:2:0:3::2"))


def test_homes_within_homes_are_seen_as_every_box() -> None:
    networks = {name: {"subnet": f"198.18.{i}.0/24"} for i, name in enumerate("abc")}
    routers = {
        "inner": {"networks": ["b", "a"], "nat": {"outside": "b"}},
        "outer": {"networks": ["c", "b"], "nat": {"outside": "c"}},
    }
    hosts = {"deep": {"networks": ["a"]}, "server": {"networks": ["c"]}}
    plan = lab_plan(
        Topology.model_validate(
            {"name": "nested", "networks": networks, "routers": routers, "hosts": hosts}
        )
    )
    assert [str(a) for a in plan.seen_as("deep")] == ["198.18.0.2", "198.18.1.1", "198.18.2.1"]
    # Nobody outside has a way in.
    assert plan.node("server").routes == plan.node("outer").routes[:0]


@pytest.fixture(scope="module")
def lab() -> Iterator[Up]:
    with up(TOPOLOGY) as made:
        yield made


@pytest.mark.lab
def test_behind_nat_all_are_one_and_nobody_gets_in(lab: Up) -> None:
    www = lab.address("www")
    with ExitStack() as stack:
        listener = stack.enter_context(lab.listener("www", www, 443))
        seen = set()
        for name in ("family-1", "family-2"):
            client = stack.enter_context(lab.socket(name, www, socket.SOCK_STREAM))
            client.settimeout(10)
            client.bind((lab.address(name), 40_000))
            client.connect((www, 443))
            accepted, peer = listener.accept()
            stack.enter_context(accepted)
            accepted.sendall(b"hello")
            assert client.recv(5) == b"hello"
            seen.add(peer)
    assert {address for address, _ in seen} == {"198.18.2.1"}
    assert len(seen) == 2  # both had port 40000; outside one of them has another
    family, over_ipv6 = lab.address("family-1"), lab.address("family-1", 6)
    with lab.listener("family-1", family, 80), lab.listener("family-1", over_ipv6, 80):
        assert lab.tried("passer-by", family, 80) == "unreachable"
        assert lab.tried("passer-by", over_ipv6, 80) == "silence"
        assert lab.tried("family-2", family, 80) == "answer"


@pytest.mark.lab
@pytest.mark.parametrize("version", [4, 6])
def test_a_firewall_keeps_to_its_rules_in_their_order(lab: Up, version: Literal[4, 6]) -> None:
    www, names = lab.address("www", version), lab.address("names", version)
    with ExitStack() as stack:
        for address, ports in ((www, (443, 22, 8_000, 8_010, 8_011)), (names, (53,))):
            node = "www" if address == www else "names"
            for port in ports:
                stack.enter_context(lab.listener(node, address, port))
        said = {port: lab.tried("passer-by", www, port) for port in (443, 22, 8_000, 8_010, 8_011)}
        assert said == {
            443: "answer",
            22: "silence",
            8_000: "answer",
            8_010: "answer",
            8_011: "silence",
        }
        assert lab.tried("thief-3", www, 443) == "refused"
        assert lab.tried("passer-by", names, 53) == "refused"
        passer_by = lab.address("passer-by", version)
        stack.enter_context(lab.listener("passer-by", passer_by, 9))
        assert lab.tried("www", passer_by, 9) == "answer"


@pytest.mark.lab
def test_answers_go_back_through_a_firewall(lab: Up) -> None:
    names = lab.address("names")
    with (
        lab.socket("names", names, socket.SOCK_DGRAM) as server,
        lab.socket("family-1", names, socket.SOCK_DGRAM) as client,
    ):
        server.bind((names, 53))
        server.settimeout(10)
        client.settimeout(10)
        client.sendto(b"who", (names, 53))
        _, asker = server.recvfrom(100)
        assert asker[0] == "198.18.2.1"
        server.sendto(b"me", asker)
        assert client.recv(100) == b"me"


@pytest.mark.lab
@pytest.mark.skipif(shutil.which("nft") is None, reason="nft, which prints rules, is not here")
def test_nft_reads_the_rules_as_they_were_meant(lab: Up) -> None:
    with namespaces.entered(lab.namespace("guard")):
        done = subprocess.run(
            ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
        )
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "type filter hook forward priority filter; policy drop;" in lines
    assert "ct state established,related accept" in lines
    assert "ip saddr 198.18.2.4/31 reject with icmpx admin-prohibited" in lines
    assert "ip daddr 198.18.3.2 tcp dport 8000-8010 accept" in lines
    assert "meta l4proto ipv6-icmp accept" in lines
