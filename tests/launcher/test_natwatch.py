"""The owner of a flow is known on both sides of a NAT."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher import namespaces
from launcher.backend import FlowEvent
from launcher.natwatch import translations
from tests.launcher.probes import Up, up
from topologies import Topology

FIRST_OWNER = 30_000
PORT = 40_000
# Two homes, the second behind another NAT as well.
TOPOLOGY = Topology.model_validate(
    {
        "name": "homes",
        "networks": {
            "home": {"subnet": "198.18.1.0/24"},
            "cellar": {"subnet": "198.18.2.0/24"},
            "street": {"subnet": "198.18.3.0/24"},
        },
        "routers": {
            "inner": {"networks": ["home", "cellar"], "nat": {"outside": "home"}},
            "box": {"networks": ["street", "home"], "nat": {"outside": "street"}},
        },
        "hosts": {
            "upstairs": {"networks": ["home"], "count": 2},
            "downstairs": {"networks": ["cellar"]},
            "server": {"networks": ["street"]},
        },
    }
)
OPEN = """
import os, socket, sys
owner, protocol, source, target, port, count = sys.argv[1:]
os.setgid(int(owner))
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
for number in range(int(count)):
    with socket.socket(socket.AF_INET, kind) as client:
        client.bind((source, 40_000 + number))
        client.settimeout(10)
        client.connect((target, int(port)))
        client.send(b"hello")
        assert client.recv(5) == b"hello"
"""
SERVE = """
import socket, sys, threading
def answer(one):
    with one:
        one.send(one.recv(5))
        one.recv(1)
def datagrams():
    while True:
        data, peer = udp.recvfrom(100)
        udp.sendto(data, peer)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 53))
tcp = socket.create_server((sys.argv[1], 80), backlog=200)
threading.Thread(target=datagrams, daemon=True).start()
print("ready", flush=True)
while True:
    threading.Thread(target=answer, args=(tcp.accept()[0],), daemon=True).start()
"""


@pytest.fixture
def lab() -> Iterator[Up]:
    with up(TOPOLOGY) as made:
        command = [sys.executable, "-c", SERVE, made.address("server")]
        server = namespaces.start_process(made.namespace("server"), command, output=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield made
        server.kill()
        server.communicate()


def opening(lab: Up, host: str, owner: int, protocol: str, count: int) -> subprocess.Popen[bytes]:
    port = 80 if protocol == "tcp" else 53
    arguments = (owner, protocol, lab.address(host), lab.address("server"), port, count)
    command = [sys.executable, "-c", OPEN, *map(str, arguments)]
    return namespaces.start_process(lab.namespace(host), command, output=subprocess.PIPE)


@pytest.mark.lab
def test_every_flow_is_reported_with_its_owner_on_each_side(lab: Up) -> None:
    events: list[FlowEvent] = []
    watch = lab.backend.watch(events.append)
    hosts = ("upstairs-1", "upstairs-2", "downstairs")
    count = 50
    running = [
        opening(lab, host, FIRST_OWNER + number, protocol, count)
        for number, (host, protocol) in enumerate((h, p) for h in hosts for p in ("tcp", "udp"))
    ]
    for process in running:
        assert process.communicate(timeout=60)[0] == b""
    # A port that another process takes over while the routers still know its flow.
    assert opening(lab, "downstairs", FIRST_OWNER + 9, "udp", 1).communicate(timeout=60)[0] == b""
    assert watch.stop() == 0
    street = [e for e in events if e.src == lab.address("box")]
    assert len(street) == 6 * count + 1
    assert len({(e.protocol, e.sport) for e in street}) == 6 * count
    assert {e.host for e in street} == set(hosts)
    # Each owner has as many flows outside as inside, and every host is told apart.
    for number in range(6):
        owner = FIRST_OWNER + number
        assert sum(e.owner == owner for e in street) == count
    assert sum(e.owner == FIRST_OWNER + 9 for e in street) == 1
    crossed = [e for e in events if e.src == lab.address("inner")]
    assert {e.host for e in crossed} == {"downstairs"}
    assert len(crossed) == 2 * count + 1


@given(st.binary(max_size=300))
def test_what_is_no_message_of_conntrack_says_nothing(data: bytes) -> None:
    assert list(translations(data)) == []
    framed = struct.pack("=IHHII", 20 + len(data), 1 << 8, 0, 0, 0) + bytes(4) + data
    for inner, outer in translations(framed):
        assert inner != outer
