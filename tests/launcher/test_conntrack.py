"""Who opened which flow: many groups, one namespace, one server port; and the parser on its own."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import IPRoute

from launcher import cgroups, conntrack, leaves, namespaces, netfilter, nftrules
from launcher.backend import FlowEvent
from launcher.capture import start_capture
from launcher.conntrack import start_watch
from topologies.errors import LabError, MachineError

# Opens flows (TCP over IPv4 and IPv6, UDP) and prints the source port of each.
CLIENT = """
import json, os, socket, sys
ports = {"tcp": [], "tcp6": [], "udp": []}
for number in range(int(sys.argv[1])):
    for name, family, kind, address in (
        ("tcp", socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
        ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, "::1"),
        ("udp", socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
    ):
        with socket.socket(family, kind) as s:
            s.settimeout(10)
            s.connect((address, 80))
            s.send(b"hello")
            s.recv(9)
            ports[name].append(s.getsockname()[1])
print(json.dumps(ports))
"""
# Answers on port 80, TCP by both families and UDP, under a group of its own.
SERVER = """
import selectors, socket
selector = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    selector.register(socket.create_server((address, 80), family=family, backlog=512), 1, "accept")
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 80))
selector.register(udp, 1, "udp")
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.data == "accept":
            with key.fileobj.accept()[0] as accepted:
                accepted.recv(9)
                accepted.send(b"world")
        else:
            udp.sendto(b"world", udp.recvfrom(9)[1])
"""
SERVER_OWNER = 61_000


@pytest.fixture
def namespace() -> Iterator[Path]:
    name = f"test-{uuid4().hex[:8]}"
    path = namespaces.create(name)
    with namespaces.entered(path), IPRoute() as ip:
        ip.link("set", index=1, state="up")
    yield path
    namespaces.delete(name)


def opened(events: list[FlowEvent]) -> list[FlowEvent]:
    return [event for event in events if event.what == "opened"]


def start(namespace: Path, owner: int, program: str, *arguments: str) -> subprocess.Popen[str]:
    with namespaces.entered(namespace):
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            group=owner,
            extra_groups=[],
        )


@pytest.fixture
def server(namespace: Path) -> Iterator[None]:
    process = start(namespace, SERVER_OWNER, SERVER)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


@pytest.mark.lab
class TestWatch:
    @pytest.mark.usefixtures("server")
    def test_every_flow_of_concurrent_groups_has_its_owner(self, namespace: Path) -> None:
        events: list[FlowEvent] = []
        watch = start_watch({"host": namespace}, events.append)
        owners = range(50_001, 50_006)
        clients = {owner: start(namespace, owner, CLIENT, "50") for owner in owners}
        said = {owner: process.communicate()[0] for owner, process in clients.items()}
        lost = watch.stop()
        made = {
            (17 if name == "udp" else 6, "::1" if name == "tcp6" else "127.0.0.1", port, owner)
            for owner, text in said.items()
            for name, ports in json.loads(text).items()
            for port in ports
        }
        begun = opened(events)
        seen = {(event.protocol, event.src, event.sport, event.owner) for event in begun}
        assert lost == 0
        # A program may be given one UDP port twice, which is one flow.
        assert 5 * 50 * 3 - 10 <= len(made) <= 5 * 50 * 3
        assert seen == made
        assert {(event.host, event.dst == event.src, event.dport) for event in begun} == {
            ("host", True, 80)
        }

    def test_a_port_that_another_group_takes_over_gets_its_new_owner(self, namespace: Path) -> None:
        send = (
            "import socket; s = socket.socket(2, 2); s.bind(('127.0.0.1', 5555));"
            "s.sendto(b'', ('127.0.0.1', 7))"
        )
        events: list[FlowEvent] = []
        watch = start_watch({"host": namespace}, events.append)
        for owner in (50_001, 50_002, 50_002):
            start(namespace, owner, send).communicate()
        assert watch.stop() == 0
        owners = [(event.sport, event.owner) for event in opened(events)]
        assert owners == [(5555, 50_001), (5555, 50_002)]
        assert events[0].time_ns < events[1].time_ns

    def test_raw_packets_have_their_owner(self, namespace: Path) -> None:
        program = (
            "import socket, struct\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
            "for port in range(1000, 1020):\n"
            "    s.sendto(struct.pack('!HHHH', port, 53, 8, 0), ('127.0.0.1', 0))\n"
        )
        events: list[FlowEvent] = []
        watch = start_watch({"host": namespace}, events.append)
        start(namespace, 50_007, program).communicate()
        assert watch.stop() == 0
        # The ICMP answers are the kernel's own, and belong to the flows they answer.
        assert [(e.sport, e.dport, e.owner) for e in opened(events)] == [
            (port, 53, 50_007) for port in range(1000, 1020)
        ]

    def test_echo_requests_have_their_owner(self, namespace: Path) -> None:
        program = (
            "import socket\n"
            "for family, to, protocol, kind in (\n"
            "    (socket.AF_INET, '127.0.0.1', 1, 8), (socket.AF_INET6, '::1', 58, 128)\n"
            "):\n"
            "    s = socket.socket(family, socket.SOCK_RAW, protocol)\n"
            "    checksum = [255 - kind, 254] if protocol == 1 else [0, 0]\n"
            "    s.sendto(bytes([kind, 0, *checksum, 0, 1, 0, 0]), (to, 0))\n"
        )
        events: list[FlowEvent] = []
        watch = start_watch({"host": namespace}, events.append)
        start(namespace, 50_007, program).communicate()
        watch.stop()
        told = [(e.protocol, e.dst, e.owner) for e in events if e.what in ("opened", "packet")]
        assert told == [(1, "127.0.0.1", 50_007), (58, "::1", 50_007)]

    def test_packets_of_no_connection_have_their_owner(self, namespace: Path) -> None:
        """FIN, Xmas and null scans: conntrack makes no flow of those."""
        program = (
            "import socket, struct\n"
            "for family, to in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):\n"
            "    s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)\n"
            "    for port, flags in ((80, 1), (81, 0x29), (82, 0)):\n"
            "        head = struct.pack('!HHIIBBHHH', 999, port, 1, 0, 80, flags, 64, 0, 0)\n"
            "        s.sendto(head, (to, 0))\n"
        )
        events: list[FlowEvent] = []
        watch = start_watch({"host": namespace}, events.append)
        start(namespace, 50_007, program).communicate()
        assert watch.stop() == 0
        told = [(e.what, e.protocol, e.dst, e.sport, e.dport, e.owner) for e in events]
        places = [(to, port) for to in ("127.0.0.1", "::1") for port in (80, 81, 82)]
        assert told == [("packet", 6, to, 999, port, 50_007) for to, port in places]

    @pytest.mark.usefixtures("server")
    def test_its_clock_is_that_of_the_captures(self, namespace: Path, tmp_path: Path) -> None:
        events: list[FlowEvent] = []
        running = start_capture(
            "lan", tmp_path / "x.pcap", interface="lo", namespace=namespace, run_dir=tmp_path
        )
        watch = start_watch({"host": namespace}, events.append)
        start(namespace, 50_001, CLIENT, "20").communicate()
        watch.stop()
        running.stop()
        first = first_times(tmp_path / "x.pcap")
        offsets = [
            event.time_ns - first[event.sport] for event in opened(events) if event.src != "::1"
        ]
        # A program may be given one UDP port twice, which is one flow.
        assert 36 <= len(offsets) <= 40
        assert max(map(abs, offsets)) < 50e6

    def test_hosts_are_told_apart_and_root_has_no_owner(self, namespace: Path) -> None:
        other = f"test-{uuid4().hex[:8]}"
        with ExitStack() as cleanup:
            path = namespaces.create(other)
            cleanup.callback(namespaces.delete, other)
            with namespaces.entered(path), IPRoute() as ip:
                ip.link("set", index=1, state="up")
            events: list[FlowEvent] = []
            watch = start_watch({"a": namespace, "b": path}, events.append)
            for place, owner in ((namespace, 50_001), (path, 50_002), (path, 0)):
                send = "import socket; s = socket.socket(2, 2); s.sendto(b'', ('127.0.0.1', 7))"
                start(place, owner, send).communicate()
            assert watch.stop() == 0
        assert {(event.host, event.owner) for event in events} == {("a", 50_001), ("b", 50_002)}

    def test_events_that_do_not_fit_are_counted(self, namespace: Path) -> None:
        with namespaces.entered(namespace):
            events = netfilter.start()
            events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            send = (
                "import socket; s = socket.socket(2, 2)\n"
                "for port in range(1, 101): s.sendto(b'', ('127.0.0.1', port))"
            )
            start(namespace, 50_001, send).communicate()
            with events:
                received = len(list(netfilter.read(events)))
                lost = netfilter.lost(events)
        assert lost > 0
        assert received + lost == 100

    def test_a_listener_that_fails_is_told_at_the_end(self, namespace: Path) -> None:
        def full(event: FlowEvent) -> None:
            raise OSError(28, "No space left on device")

        watch = start_watch({"host": namespace}, full)
        send = "import socket; s = socket.socket(2, 2); s.sendto(b'', ('127.0.0.1', 7))"
        start(namespace, 50_001, send).communicate()
        with pytest.raises(LabError, match="No space left"):
            watch.stop()

    @pytest.mark.usefixtures("server")
    def test_by_itself_it_writes_lines(self, namespace: Path) -> None:
        with namespaces.entered(namespace):
            agent = subprocess.Popen(
                [sys.executable, "-m", "launcher.netfilter"], stdout=subprocess.PIPE, text=True
            )
        assert agent.stdout is not None
        with agent:
            assert json.loads(agent.stdout.readline()) == {"ready": True}
            start(namespace, 50_001, CLIENT, "2").communicate()
            agent.send_signal(signal.SIGTERM)
            *flows, last = [json.loads(line) for line in agent.stdout]
        assert last == {"lost": 0, "ends_lost": 0}
        said = [netfilter.Flow(*flow) for flow in flows]
        assert {flow.owner for flow in said if flow.what != netfilter.ACCEPTED} == {50_001}
        whats = [flow.what for flow in said]
        assert whats.count(nftrules.OPENED) == whats.count(netfilter.ENDED) == 6


# Joins the control group it is told of, then runs the program it is told.
JOIN = """
import sys
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
exec(sys.argv[2])
"""
DAEMON = """
import os, socket
os.setgid(33)
with socket.create_server(("127.0.0.1", 80)) as listener:
    client = socket.create_connection(("127.0.0.1", 80))
    served = listener.accept()[0]
    client.send(b"x")
    served.recv(1)
"""
BURST = """
import socket
for number in range(2_500):
    with socket.create_connection(("127.0.0.1", 80)) as s:
        pass
"""


@pytest.fixture
def groups() -> Iterator[leaves.Leaves]:
    """Control groups for programs of a host called ``host``."""
    where = cgroups.hierarchies()
    lab = f"test{uuid4().hex[:8]}"
    parent = cgroups.bare_group(lab, "host", where=where)
    if parent is None or where.unified is None:
        pytest.skip("no v2 hierarchy that this user may write to")
    yield leaves.Leaves(where.unified, {"host": parent})
    cgroups.kill(lab)
    cgroups.remove(lab)


@pytest.mark.lab
class TestControlGroups:
    def test_a_program_that_changes_its_group_is_known_by_its_control_group(
        self, namespace: Path, groups: leaves.Leaves
    ) -> None:
        events: list[FlowEvent] = []
        watch = start_watch(
            {"host": namespace}, events.append, levels=groups.levels, groups=groups.owners
        )
        leaf = groups.make("host", 50_001)
        start(namespace, 50_001, JOIN, str(leaf), DAEMON).communicate()
        assert (watch.stop(), watch.ends_lost) == (0, 0)
        assert watch.mechanism == conntrack.BY_BOTH
        (event,) = opened(events)
        assert (event.owner, event.second) == (33, 50_001)

    def test_who_accepts_a_flow_of_another_host_is_told(
        self, namespace: Path, groups: leaves.Leaves
    ) -> None:
        """As of an activity that a server calls back: the data connection of active FTP."""
        other = f"test-{uuid4().hex[:8]}"
        accept = (
            "import socket; l = socket.create_server(('198.18.0.1', 20)); u = socket.socket(2, 2);"
            "u.bind(('198.18.0.1', 21)); print('ready', flush=True); l.accept(); u.recv(9)"
        )
        call = (
            "import socket; socket.create_connection(('198.18.0.1', 20));"
            "socket.socket(2, 2).sendto(b'x', ('198.18.0.1', 21))"
        )
        with ExitStack() as cleanup:
            path = namespaces.create(other)
            cleanup.callback(namespaces.delete, other)
            join(namespace, path)
            events: list[FlowEvent] = []
            watch = start_watch(
                {"host": namespace, "other": path},
                events.append,
                levels=groups.levels,
                groups=groups.owners,
            )
            leaf = groups.make("host", 50_001)
            acceptor = start(namespace, 50_001, JOIN, str(leaf), accept)
            assert acceptor.stdout is not None
            assert acceptor.stdout.readline() == "ready\n"
            start(path, 50_002, call).communicate()
            acceptor.communicate()
            assert watch.stop() == 0
        accepted = [(e.host, e.dport, e.second) for e in events if e.what == "accepted"]
        assert accepted == [("host", 20, 50_001), ("host", 21, 50_001)]
        assert {(e.host, e.owner) for e in opened(events)} == {("other", 50_002)}

    @pytest.mark.slow
    @pytest.mark.usefixtures("server")
    def test_nothing_is_lost_of_thousands_of_connections_a_second(
        self, namespace: Path, groups: leaves.Leaves
    ) -> None:
        counts: Counter[tuple[str, int, int]] = Counter()
        watch = start_watch(
            {"host": namespace},
            lambda e: counts.update([(e.what, e.owner, e.second)]),
            levels=groups.levels,
            groups=groups.owners,
        )
        owners = range(50_001, 50_005)
        clients = [
            start(namespace, owner, JOIN, str(groups.make("host", owner)), BURST)
            for owner in owners
        ]
        for client in clients:
            client.communicate()
            assert client.returncode == 0
        assert (watch.stop(), watch.ends_lost) == (0, 0)
        # The server's word to a client that has gone is a packet of no flow.
        flows = {key: count for key, count in counts.items() if key[0] != "packet"}
        begun = {("opened", owner, owner): 2_500 for owner in owners}
        assert flows == begun | {("ended", owner, 0): 2_500 for owner in owners}


def join(a: Path, b: Path) -> None:
    """Lay a cable between two namespaces, 198.18.0.1 and 198.18.0.2."""
    with namespaces.entered(a), IPRoute() as ip, b.open("rb") as inside:
        peer = {"ifname": "eth0", "net_ns_fd": inside.fileno()}
        ip.link("add", ifname="eth0", kind="veth", peer=peer)
    for number, place in enumerate((a, b), start=1):
        with namespaces.entered(place), IPRoute() as ip:
            index = socket.if_nametoindex("eth0")
            ip.addr("add", index=index, address=f"198.18.0.{number}", prefixlen=24)
            ip.link("set", index=index, state="up")


@pytest.mark.lab
class TestEnds:
    def test_an_end_has_what_the_kernel_counted(self, namespace: Path) -> None:
        send = (
            "import socket; s = socket.socket(2, 2); s.connect(('127.0.0.1', 7));s.send(b'x' * 100)"
        )
        events: list[FlowEvent] = []
        watch = start_watch({"host": namespace}, events.append)
        start(namespace, 50_001, send).communicate()
        watch.stop()
        first, last = events
        assert (first.what, last.what) == ("opened", "ended")
        assert (last.packets, last.bytes, last.reply_packets) == (1, 128, 0)
        assert first.time_ns - 50e6 < last.start_ns <= last.time_ns

    def test_without_control_groups_who_answers_has_accepted(self, namespace: Path) -> None:
        other = f"test-{uuid4().hex[:8]}"
        echo = (
            "import socket; l = socket.create_server(('198.18.0.1', 20));"
            "print('ready', flush=True); l.accept()"
        )
        call = "import socket; socket.create_connection(('198.18.0.1', 20))"
        with ExitStack() as cleanup:
            path = namespaces.create(other)
            cleanup.callback(namespaces.delete, other)
            join(namespace, path)
            events: list[FlowEvent] = []
            watch = start_watch({"host": namespace}, events.append)
            acceptor = start(namespace, 50_001, echo)
            assert acceptor.stdout is not None
            acceptor.stdout.readline()
            start(path, 50_002, call).communicate()
            acceptor.communicate()
            watch.stop()
        assert [(e.what, e.dport, e.owner) for e in events] == [("accepted", 20, 50_001)]

    def test_what_goes_to_many_at_once_is_a_flow_too(self, namespace: Path) -> None:
        other = f"test-{uuid4().hex[:8]}"
        send = (
            "import socket; s = socket.socket(2, 2); s.setsockopt(1, socket.SO_BROADCAST, 1);"
            "s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton('198.18.0.1'));"
            "s.bind(('198.18.0.1', 5353)); s.sendto(b'', ('239.1.1.1', 5353));"
            "s.sendto(b'', ('198.18.0.255', 5353))"
        )
        with ExitStack() as cleanup:
            path = namespaces.create(other)
            cleanup.callback(namespaces.delete, other)
            join(namespace, path)
            events: list[FlowEvent] = []
            watch = start_watch({"host": namespace}, events.append)
            start(namespace, 50_001, send).communicate()
            watch.stop()
        told = [(e.dst, e.owner) for e in opened(events)]
        assert told == [("239.1.1.1", 50_001), ("198.18.0.255", 50_001)]


def first_times(file: Path) -> dict[int, int]:
    """Time of the first IPv4 packet from each source port in a capture of the loopback, in ns."""
    data, offset = file.read_bytes(), 24
    first: dict[int, int] = {}
    while offset < len(data):
        seconds, nanoseconds, kept = struct.unpack_from("=III", data, offset)
        port = struct.unpack_from("!H", data, offset + 16 + 14 + 20)[0]
        first.setdefault(port, seconds * 10**9 + nanoseconds)
        offset += 16 + kept
    return first


@pytest.mark.lab
def test_a_namespace_that_cannot_be_watched_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="host web: the kernel will not say"):
        start_watch({"web": tmp_path / "missing"}, print)


def event(mark: int, *, stamp: int | None = 5, v6: bool = False) -> bytes:
    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    size, first = (16, 3) if v6 else (4, 1)
    addresses = attribute(first, bytes([1] * size)) + attribute(first + 1, bytes([2] * size))
    ports = attribute(1, b"\x06") + attribute(2, b"\x00\x50") + attribute(3, b"\x01\x00")
    body = attribute(0x8001, attribute(0x8001, addresses) + attribute(0x8002, ports))
    body += attribute(8, mark.to_bytes(4, "big"))
    if stamp is not None:
        body += attribute(27, stamp.to_bytes(8, "big"))
    body = bytes(4) + body
    return struct.pack("=IHHII", 16 + len(body), 0x100, 0x600, 0, 0) + body


def test_events_are_read_as_the_kernel_writes_them() -> None:
    data = event(7) + event(0) + event(8, stamp=None, v6=True)
    assert list(netfilter.parse(data, received_ns=99)) == [
        netfilter.Flow(nftrules.OPENED, 5, 6, "1.1.1.1", 80, "2.2.2.2", 256, 7),
        netfilter.Flow(
            nftrules.OPENED,
            *(99, 6, "101:101:101:101:101:101:101:101", 80),
            *("202:202:202:202:202:202:202:202", 256, 8),
        ),
    ]


@given(data=st.one_of(st.binary(max_size=200), st.just(event(7))), cut=st.integers(0, 200))
def test_any_bytes_are_read_without_failing(data: bytes, cut: int) -> None:
    for flow in netfilter.parse(data[: len(data) - cut], received_ns=time.time_ns()):
        assert flow.owner > 0 or flow.cgroup > 0
