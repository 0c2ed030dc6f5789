"""The export for containerlab: what it says, done by hand, is the lab."""

from __future__ import annotations

import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import pytest

from launcher import namespaces
from launcher.addressing import lab_plan
from launcher.containerlab import SWITCH, to_containerlab
from topologies import Topology, load_topology
from topologies.document import Document, parse_yaml, validate
from topologies.errors import InputError

TEXT = """
name: two-lans
networks:
  left: {subnet: 198.18.1.0/24, subnet6: "2001:2:0:1::/64"}
  right: {subnet: 198.18.2.0/24, subnet6: "2001:2:0:2::/64", mtu: 9000}
routers: {middle: {networks: [left, right]}}
hosts: {one: {networks: [left], count: 2}, two: {networks: [right]}}
"""


def exported(text: str = TEXT) -> dict[str, Any]:
    document: Document[Topology] = validate(parse_yaml(text, file="t.yaml"), Topology)
    return to_containerlab(document, lab_plan(document.model))


def test_every_cable_joins_a_machine_and_a_network() -> None:
    topology = exported()["topology"]
    ends = [end for link in topology["links"] for end in link["endpoints"]]
    assert len(ends) == len(set(ends)) == 10
    assert {end.partition(":")[0] for end in ends} == set(topology["nodes"])
    assert {link["mtu"] for link in topology["links"]} == {1_500, 9_000}
    assert all(node["network-mode"] == "none" for node in topology["nodes"].values())


def test_impairments_are_netem_on_the_networks_ports() -> None:
    text = TEXT.replace("mtu: 9000}", "impairments: {delay_ms: 20, loss_percent: 1.5}}")
    commands = exported(text)["topology"]["nodes"][f"{SWITCH}right"]["exec"]
    wanted = "tc qdisc add dev eth1 root netem delay 20ms 0ms loss 1.5%"
    assert [command for command in commands if "tc " in command] == [
        wanted, wanted.replace("eth1", "eth2")
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["campus", "isp-access", "internet-mini"])
def test_what_has_no_counterpart_is_refused(name: str) -> None:
    document = load_topology(name)
    with pytest.raises(InputError, match="a router that only forwards"):
        to_containerlab(document, lab_plan(document.model))


@contextmanager
def by_hand(topology: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Make the containers namespaces, and the cables; run what each is told."""
    mark = uuid4().hex[:6]
    names = {name: f"test-{mark}-{number}" for number, name in enumerate(topology["nodes"])}
    with ExitStack() as stack:
        for name in names.values():
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "del", name)
        for link in topology["links"]:
            (near, one), (far, two) = (end.split(":") for end in link["endpoints"])
            mtu = str(link["mtu"])
            run("ip", "link", "add", one, "netns", names[near], "mtu", mtu, "type", "veth",
                "peer", "name", two, "netns", names[far], "mtu", mtu)  # fmt: skip
            for node, interface in ((near, one), (far, two)):
                inside(names[node], f"ip link set {interface} up")
        for name, node in topology["nodes"].items():
            for key, value in node["sysctls"].items():
                inside(names[name], f"sysctl -qw {key}={value}")
            for command in node["exec"]:
                inside(names[name], command)
        yield names


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def inside(name: str, command: str) -> None:
    run("ip", "netns", "exec", name, *shlex.split(command))


@pytest.mark.lab
@pytest.mark.parametrize("address", ["198.18.1.3", "198.18.2.2", "2001:2:0:1::3", "2001:2:0:2::2"])
def test_the_commands_make_the_lab(address: str) -> None:
    with (
        by_hand(exported()["topology"]) as names,
        namespaces.entered(namespaces.path_of(names["one-1"])),
        pytest.raises(ConnectionRefusedError),  # by a machine, so it was reached
    ):
        socket.create_connection((address, 9), timeout=10)
