"""No packet leaves a lab, whatever its hosts try; containers may do next to nothing."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from launcher import namespaces
from launcher.addressing import lab_plan
from launcher.backend import Backend
from launcher.labs import Lab
from launcher.netns import NetnsBackend
from launcher.plan import LabPlan
from topologies import Topology

PUBLIC = ("8.8.8.8", "192.0.2.1", "172.17.0.1", "169.254.169.254", "2001:4860:4860::8888")
UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
ALL_FRAMES = 0x0003


@dataclass(frozen=True)
class Living:
    backend: Backend
    plan: LabPlan
    names: Mapping[str, str]
    nodes: Mapping[str, Path]  # network namespaces


def _plan() -> LabPlan:
    topology = {
        "name": "caged",
        "networks": {
            "office": {"subnet": "198.18.61.0/24", "impairments": {"delay_ms": 1}},
            "servers": {"subnet": "198.18.62.0/24"},
        },
        "routers": {"core": {"networks": ["office", "servers"]}},
        "hosts": {"clerk": {"networks": ["office"]}, "www": {"networks": ["servers"]}},
    }
    return lab_plan(Topology.model_validate(topology))


@contextlib.contextmanager
def _living(name: str, folder: Path) -> Iterator[Living]:
    plan = _plan()
    with Lab.create(backend=name, run_dir=folder) as lab:
        if name == "docker":
            from launcher.docker import DockerBackend

            backend: Backend = DockerBackend(lab)
        else:
            backend = NetnsBackend(lab)
        try:
            names = backend.up(plan, folder)
            yield Living(backend, plan, names, _namespaces(name, lab, names))
        finally:
            backend.down()


def _namespaces(name: str, lab: Lab, names: Mapping[str, str]) -> Mapping[str, Path]:
    if name == "netns":
        return {node: namespaces.path_of(made) for node, made in names.items()}
    from launcher.docker import connect

    with contextlib.closing(connect()) as client:
        return {
            node: Path(f"/proc/{client.containers.get(made).attrs['State']['Pid']}/ns/net")
            for node, made in names.items()
        }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("netns", marks=pytest.mark.lab),
        pytest.param("docker", marks=pytest.mark.docker),
    ],
)
def living(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Living]:
    with _living(request.param, tmp_path_factory.mktemp("caged")) as made:
        yield made


def _machine_addresses() -> list[str]:
    """Addresses of the machine that others could reach, both families."""
    with IPRoute(groups=0) as ip:
        found = [item.get_attr("IFA_ADDRESS") for item in ip.get_addr()]
    local = ("127.", "::1", "fe80:")  # those of a loopback or of one link are every host's own
    return [address for address in found if not address.startswith(local)]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextlib.contextmanager
def _listening(marks: set[bytes]) -> Iterator[list[str]]:
    """See every frame on every interface of the machine; which of them had one of the marks."""
    seen: list[str] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES)) as handle:
        handle.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        handle.settimeout(0.2)
        ended = threading.Event()

        def listen() -> None:
            while True:
                try:
                    frame, (interface, *_) = handle.recvfrom(65_536)
                except TimeoutError:
                    if ended.is_set():
                        return
                    continue
                if any(mark in frame for mark in marks):
                    seen.append(interface)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


def test_nothing_outside_can_be_reached_from_any_host(living: Living) -> None:
    outside = (*PUBLIC, *_machine_addresses())
    for namespace in living.nodes.values():
        with namespaces.entered(namespace):
            for address in outside:
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    with socket.socket(_family(address), kind) as handle:
                        handle.settimeout(1)
                        # Without a route the kernel refuses at once: nothing is ever sent.
                        error = handle.connect_ex((address, 53))
                        assert error in UNREACHABLE, (address, errno.errorcode.get(error, error))


def _packet_to(address: str, source: str, mark: bytes) -> bytes:
    """An IPv4 packet with UDP in it, made by hand."""
    udp = struct.pack("!HHHH", 4_000, 53, 8 + len(mark), 0) + mark
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0),
        socket.inet_aton(source),
        socket.inet_aton(address),
    )
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", checksum) + head[12:] + udp


def test_no_frame_of_a_lab_is_seen_by_the_machine(living: Living) -> None:
    """Even hosts that make frames by hand, to everybody and to the router, stay inside."""
    mark = secrets.token_bytes(16)
    targets = [a for a in (*PUBLIC, *_machine_addresses()) if ":" not in a]
    with _listening({mark}) as seen:
        for node in living.plan.nodes:
            link = node.links[0]
            router = next(
                x.address for n in living.plan.nodes if n.forwards for x in n.links
                if x.network == link.network
            )  # fmt: skip
            with namespaces.entered(living.nodes[node.name]):
                handle = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            with handle:
                handle.bind((link.interface, 0x0800))
                for mac in (b"\xff" * 6, b"\x02\x00" + router.packed, b"\x33\x33\0\0\0\x01"):
                    for target in targets:
                        packet = _packet_to(target, str(link.address), mark)
                        handle.send(mac + b"\x02\x00" + link.address.packed + b"\x08\x00" + packet)
        _shout(mark, living)
        assert _hears_itself(mark), "the machine's own frames must be seen, or this proves nothing"
    assert set(seen) <= {"lo"}


def _shout(mark: bytes, living: Living) -> None:
    """Broadcast and multicast by the hosts' own IP stack, both families."""
    for node in living.plan.nodes:
        with namespaces.entered(living.nodes[node.name]):
            for address in ("255.255.255.255", "224.0.0.251", "ff02::1"):
                with socket.socket(_family(address), socket.SOCK_DGRAM) as handle:
                    handle.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                    with contextlib.suppress(OSError):
                        handle.sendto(mark, (address, 5_353))


def _hears_itself(mark: bytes) -> bool:
    """Whether a datagram on the machine's own loopback arrives; the listener sees it too."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sender.sendto(mark, receiver.getsockname())
        return receiver.recv(100) == mark


def test_the_listener_would_see_what_left() -> None:
    mark = secrets.token_bytes(16)
    with _listening({mark}) as seen:
        assert _hears_itself(mark)
        deadline = time.monotonic() + 10
        while "lo" not in seen:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.docker
@pytest.mark.parametrize("living", ["docker"], indirect=True)
def test_containers_may_do_next_to_nothing(living: Living) -> None:
    from launcher.docker import connect

    with contextlib.closing(connect()) as client:
        for node in living.plan.nodes:
            container = client.containers.get(living.names[node.name]).attrs
            host = container["HostConfig"]
            assert host["Privileged"] is False
            assert host["CapDrop"] == ["ALL"]
            assert set(host["CapAdd"] or ()) <= (set() if node.forwards else {"NET_RAW"})
            assert "no-new-privileges" in host["SecurityOpt"]
            assert host["ReadonlyRootfs"] is True
            assert host["NetworkMode"] == "none"
            assert {host["PidMode"], host["IpcMode"], host["UTSMode"]} <= {"", "private"}
            assert not host["Devices"]
            assert not any("docker.sock" in bind for bind in host["Binds"] or ())
            assert host["PidsLimit"] > 0
            assert host["Memory"] > 0


@pytest.mark.lab
def test_labs_of_the_same_topology_do_not_meet(tmp_path: Path) -> None:
    """Made at the same time, with the same names, addresses and impairments; each by itself."""
    made: dict[str, Living] = {}
    with contextlib.ExitStack() as stack:
        failures: list[BaseException] = []

        def make(name: str) -> None:
            try:
                made[name] = stack.enter_context(_living("netns", tmp_path / name))
            except BaseException as error:  # noqa: BLE001 - shown by the test itself
                failures.append(error)

        threads = [threading.Thread(target=make, args=(name,)) for name in ("a", "b", "c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len({name for lab in made.values() for name in lab.names.values()}) == 9
        asked = {name: stack.enter_context(_server(name, lab)) for name, lab in made.items()}
        for name, lab in made.items():
            assert _asks(lab, name) == f"{name} to {name}"
        made["b"].backend.down()
        for name in ("a", "c"):
            assert _asks(made[name], name) == f"{name} to {name}"
        # Each server was asked by its own lab alone.
        assert asked == {"a": ["a", "a"], "b": ["b"], "c": ["c", "c"]}
    left = {namespaces.path_of(name) for lab in made.values() for name in lab.names.values()}
    assert not any(path.exists() for path in left)


@contextlib.contextmanager
def _server(name: str, lab: Living) -> Iterator[list[str]]:
    """Answers in www of a lab, with a name; what it was asked."""
    asked: list[str] = []
    ended = threading.Event()
    with namespaces.entered(lab.nodes["www"]):
        handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                data, peer = handle.recvfrom(100)
                asked.append(data.decode())
                handle.sendto(f"{data.decode()} to {name}".encode(), peer)

    with handle:
        handle.settimeout(0.1)
        handle.bind(("198.18.62.2", 9_000))
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            ended.set()
            thread.join()


def _asks(lab: Living, name: str) -> str:
    with namespaces.entered(lab.nodes["clerk"]):
        handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with handle:
        handle.settimeout(10)
        handle.sendto(name.encode(), ("198.18.62.2", 9_000))
        return handle.recv(100).decode()
