"""Live metering: the rows of a file of the same traffic, and an end in good order."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pyroute2 import IPRoute

from flowmeter import MeterConfig, flows
from flowmeter.live import Interface
from launcher import capture, namespaces
from launcher.capture import CaptureOptions, start_capture
from topologies.errors import InputError, MachineError

ECHO, SILENT = ("198.18.0.1", 7), ("198.18.0.2", 9)
PATIENCE_S = 20.0


@pytest.fixture
def namespace() -> Iterator[Path]:
    """A namespace with a cable in it, from ``eth0`` to nobody, whose link address is known."""
    name = f"test-{uuid4().hex[:8]}"
    path = namespaces.create(name)
    with namespaces.entered(path), IPRoute() as ip:
        namespaces.write_setting("ipv6/conf/default/disable_ipv6", "1")
        ip.link("add", ifname="eth0", kind="veth", peer={"ifname": "far"})
        for interface in ("far", "eth0", "lo"):
            ip.link("set", index=ip.link_lookup(ifname=interface)[0], state="up")
        index = socket.if_nametoindex("eth0")
        ip.addr("add", index=index, address=ECHO[0], prefixlen=24)
        ip.neigh("add", dst=SILENT[0], lladdr="02:00:00:00:00:02", ifindex=index, state="permanent")
    yield path
    namespaces.delete(name)


def send(count: int, *, size: int = 40, port: int = 0) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.bind((ECHO[0], port))
        for _ in range(count):
            source.sendto(bytes(size), SILENT)


def in_background(work: Callable[[], None], namespace: Path) -> Callable[[], None]:
    """A function that starts a thread in the namespace."""

    def there() -> None:
        with namespaces.entered(namespace):
            work()

    return threading.Thread(target=there).start


@pytest.mark.lab
def test_live_rows_are_those_of_a_file(namespace: Path, tmp_path: Path) -> None:
    file = tmp_path / "same.pcap"
    config = MeterConfig(udp_idle_s=2)
    running = start_capture(
        "lan",
        file,
        interface="eth0",
        namespace=namespace,
        run_dir=tmp_path,
        options=CaptureOptions(snaplen_bytes=128),
    )

    def traffic() -> None:
        for number in range(300):
            send(1 + number % 4, size=number, port=20_000 + number % 90)
        interface.stop()

    interface = Interface("eth0", started=in_background(traffic, namespace))
    with namespaces.entered(namespace):
        stream = flows(interface, config=config)
        table = stream.read_all()
    running.stop()
    offline = flows(file, config=config)
    expected = offline.read_all()
    assert stream.packets == offline.packets == 750
    assert sorted(map(repr, table.to_pylist())) == sorted(map(repr, expected.to_pylist()))
    assert interface.counters.captured == stream.packets
    assert interface.counters.dropped_by_kernel == 0


@pytest.mark.lab
def test_flows_end_in_a_silence(namespace: Path) -> None:
    """No packet comes any more, yet the row does, by the wall clock."""
    traffic = in_background(lambda: send(3), namespace)
    interface = Interface("eth0", filter="udp", started=traffic)
    with (
        namespaces.entered(namespace),
        flows(interface, config=MeterConfig(udp_idle_s=0.5)) as stream,
    ):
        begin = time.monotonic()
        batch = next(iter(stream))
    assert time.monotonic() - begin < PATIENCE_S
    assert batch.column("c2s_packets").to_pylist() == [3]
    assert batch.column("end_reason").to_pylist() == [1]
    assert interface.counters.captured == 0, "it was broken off, not ended"


@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_by_a_signal_with_its_rows(
    namespace: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "flows.csv"
    with namespaces.entered(namespace):
        process = subprocess.Popen(
            [sys.executable, "-m", "gsta", "meter", "--live", "eth0", "--out", str(out)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline() == b"metering eth0; Ctrl-C ends it\n"
        send(5)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert b"5 packets captured on eth0; dropped: 0 by the kernel, 0 by the interface" in said
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.lab
def test_an_interface_that_goes_away(namespace: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was captured comes out, and nobody takes it for everything."""

    def traffic() -> None:
        send(4)
        deadline = time.monotonic() + PATIENCE_S
        while stream.packets < 4 and time.monotonic() < deadline:  # the kernel drops what waits
            time.sleep(0.01)
        with IPRoute() as ip:
            ip.link("del", index=socket.if_nametoindex("eth0"))

    interface = Interface("eth0", filter="udp", started=in_background(traffic, namespace))
    with namespaces.entered(namespace):
        stream = flows(interface)
        table = stream.read_all()
    assert table["c2s_packets"].to_pylist() == [4]
    assert "the capture on eth0 ended early" in caplog.text


@pytest.mark.lab
def test_a_capture_for_some_seconds(namespace: Path) -> None:
    interface = Interface("eth0", seconds=0.3)
    with namespaces.entered(namespace):
        stream = flows(interface)
        assert list(stream) == []
    assert stream.packets == 0


@pytest.mark.lab
@pytest.mark.parametrize(
    ("interface", "message"),
    [
        (Interface("br7"), "interface br7: expected one that tcpdump captures on, got .*br7"),
        (Interface("eth0", filter="no such"), "a filter unlike 'no such', got .*syntax error"),
    ],
)
def test_what_tcpdump_refuses(namespace: Path, interface: Interface, message: str) -> None:
    with namespaces.entered(namespace), pytest.raises(InputError, match=message):
        list(flows(interface))


@pytest.mark.lab
def test_without_the_right_to_capture() -> None:
    """Root, but what it starts may neither capture nor administer networks."""
    program = (
        "import ctypes; [ctypes.CDLL(None).prctl(24, right, 0, 0, 0) for right in (12, 13)];"
        "from flowmeter import flows; from flowmeter.live import Interface;"
        "list(flows(Interface('lo')))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert b"MachineError: tcpdump may not capture on lo" in said.stderr, said.stderr


def test_without_tcpdump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(capture, "SYSTEM_FOLDERS", ())
    with pytest.raises(MachineError, match="apt-get install tcpdump"):
        list(flows(Interface("lo")))
