"""Captures of a namespace of our own: nothing lost at the end, the counters read right."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import IPRoute

from launcher import capture, namespaces, packets
from launcher.capture import HEADERS_BYTES, CaptureOptions, Counters, TcpdumpCapture, start_capture
from launcher.localprogram import LocalProgram
from launcher.pcapfile import count_packets
from launcher.syscalls import isolated
from topologies.errors import LabError, MachineError

NOBODY = "198.18.0.2"


@pytest.fixture
def namespace() -> Iterator[Path]:
    """A namespace with a cable in it, from ``eth0`` to nobody."""
    name = f"test-{uuid4().hex[:8]}"
    path = namespaces.create(name)
    with namespaces.entered(path), IPRoute() as ip:
        namespaces.write_setting("ipv6/conf/default/disable_ipv6", "1")
        ip.link("add", ifname="eth0", kind="veth", peer={"ifname": "far"})
        for interface in ("far", "eth0"):
            ip.link("set", ifname=interface, state="up")
        index = socket.if_nametoindex("eth0")
        ip.addr("add", index=index, address="198.18.0.1", prefixlen=24)
        ip.neigh("add", dst=NOBODY, lladdr="02:00:00:00:00:02", ifindex=index, state="permanent")
    yield path
    namespaces.delete(name)


def send(namespace: Path, count: int, *, size: int = 100) -> None:
    with (
        namespaces.entered(namespace),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source,
    ):
        for number in range(count):
            source.sendto(struct.pack("!I", number) + bytes(size - 4), (NOBODY, 9))


def payload_numbers(file: Path) -> list[int]:
    """The running numbers in the packets of a capture of ours."""
    data, offset, numbers = file.read_bytes(), 24, []
    while offset < len(data):
        kept = struct.unpack_from("=I", data, offset + 8)[0]
        numbers.append(struct.unpack_from("!I", data, offset + 16 + 14 + 20 + 8)[0])
        offset += 16 + kept
    return numbers


@pytest.mark.lab
class TestTcpdump:
    def test_the_tail_is_whole_when_stopped_at_once(self, namespace: Path, tmp_path: Path) -> None:
        for _ in range(5):
            file = tmp_path / "captures" / "lan.pcap"
            running = start_capture(
                "lan", file, interface="eth0", namespace=namespace, run_dir=tmp_path
            )
            send(namespace, 1_000)
            asked = time.monotonic()
            record = running.stop()
            assert time.monotonic() - asked < 2
            assert record.packets == record.received == 1_000
            assert (record.dropped_by_kernel, record.dropped_by_interface) == (0, 0)
            assert (record.network, record.file) == ("lan", "captures/lan.pcap")
            assert payload_numbers(file) == list(range(1_000))
            assert running.stop() == record

    def test_times_are_nanoseconds_of_the_real_clock(self, namespace: Path, tmp_path: Path) -> None:
        file = tmp_path / "lan.pcap"
        running = start_capture(
            "lan", file, interface="eth0", namespace=namespace, run_dir=tmp_path
        )
        before = time.time_ns()
        send(namespace, 1)
        after = time.time_ns()
        running.stop()
        (magic,) = struct.unpack_from("=I", file.read_bytes())
        seconds, nanoseconds = struct.unpack_from("=II", file.read_bytes(), 24)
        assert magic == 0xA1B23C4D
        assert before <= seconds * 10**9 + nanoseconds <= after

    def test_a_capture_that_died_is_no_capture(self, namespace: Path, tmp_path: Path) -> None:
        running = start_capture(
            "lan", tmp_path / "lan.pcap", interface="eth0", namespace=namespace, run_dir=tmp_path
        )
        assert isinstance(running.program, LocalProgram)
        running.program.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, running.program.pid, os.WEXITED | os.WNOWAIT)
        assert running.failure().startswith("the capture of network 'lan' ended early")
        assert running.stop().lost == running.failure()

    def test_nothing_is_lost_at_the_stated_load(self, namespace: Path, tmp_path: Path) -> None:
        """However late tcpdump gets to run: 40,000 headers fit into its ring."""
        running = start_capture(
            *("lan", tmp_path / "lan.pcap"),
            interface="eth0",
            namespace=namespace,
            run_dir=tmp_path,
            options=CaptureOptions(HEADERS_BYTES),
        )
        send(namespace, 40_000, size=1_000)
        record = running.stop()
        assert record.packets == record.received == 40_000
        assert record.dropped_by_kernel == record.dropped_by_interface == 0
        assert (tmp_path / "lan.pcap").stat().st_size == 24 + 40_000 * (16 + HEADERS_BYTES)

    @pytest.mark.parametrize(
        ("options", "files"),
        [(CaptureOptions(rotate_mb=1), 4), (CaptureOptions(9_216, 1, 0, 2), 2)],
    )
    def test_files_of_a_size_or_the_last_of_them(
        self, namespace: Path, tmp_path: Path, options: CaptureOptions, files: int
    ) -> None:
        running = start_capture(
            *("lan", tmp_path / "captures/lan.pcap"),
            interface="eth0",
            namespace=namespace,
            run_dir=tmp_path,
            options=options,
        )
        send(namespace, 3_300, size=1_000)
        record = running.stop()
        names = (record.file, *record.further)
        assert len(names) == files
        assert {tmp_path / name for name in names} == set((tmp_path / "captures").iterdir())
        assert record.packets == sum(count_packets(tmp_path / name) for name in names)
        assert record.received == 3_300
        assert (record.packets == 3_300) == (not options.ring)

    def test_packets_that_are_streamed_are_not_kept(self, namespace: Path, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(pipe.read_bytes)
            running = start_capture(
                "lan", pipe, interface="eth0", namespace=namespace, run_dir=tmp_path
            )
            send(namespace, 1_000)
            record = running.stop()
        assert (record.file, record.packets, record.lost) == ("", 1_000, "")
        (tmp_path / "copy").write_bytes(read.result())
        assert payload_numbers(tmp_path / "copy") == list(range(1_000))

    def test_an_interface_that_is_not_there(self, namespace: Path, tmp_path: Path) -> None:
        with pytest.raises(LabError, match="br7"):
            start_capture(
                "lan", tmp_path / "x.pcap", interface="br7", namespace=namespace, run_dir=tmp_path
            )


def test_without_tcpdump_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(capture, "SYSTEM_FOLDERS", ())
    with pytest.raises(MachineError, match="apt-get install tcpdump"):
        capture.tcpdump_path()


@pytest.mark.lab
def test_the_stand_in_captures_as_tcpdump_does(namespace: Path, tmp_path: Path) -> None:
    file = tmp_path / "lan.pcap"
    with namespaces.entered(namespace):
        process = subprocess.Popen(
            [*isolated("launcher.packets"), "eth0", str(file), "9216"], stderr=subprocess.PIPE
        )
    running = TcpdumpCapture(LocalProgram(process), network="lan", file=file, run_dir=tmp_path)
    send(namespace, 1_000, size=1_400)
    record = running.stop()
    assert record.packets == record.received - record.dropped_by_kernel
    assert payload_numbers(file) == list(range(1_000))


@pytest.mark.lab
def test_a_user_namespace_can_capture(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path;"
        "from launcher.capture import start_capture;"
        "ip = lambda text: subprocess.run(['ip', *text.split()], check=True);"
        "ip('link add eth0 type veth peer name far'); ip('link set far up');"
        "ip('link set eth0 arp off up'); ip('addr add 198.18.0.1/24 dev eth0');"
        "run = Path(sys.argv[1]);"
        "c = start_capture('lan', run / 'lan.pcap', interface='eth0', namespace=None, run_dir=run);"
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "[s.sendto(b'x' * 99, ('198.18.0.2', 9)) for _ in range(50)];"
        "print(c.stop().packets >= 50)"
    )
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", program]
    if subprocess.run([*command[:4], "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run(
        [*command, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_counters_are_read_from_either_form_tcpdump_prints_them_in() -> None:
    one_line = "3 packets captured, 12 packets received by filter, 1 packet dropped by kernel"
    lines = "1 packet captured\n12 packets received by filter\n0 packets dropped by kernel\n"
    assert Counters.read(one_line) == Counters(3, 12, 1, 0)
    assert Counters.read(one_line + lines) == Counters(1, 12, 0, 0)
    assert Counters.read(lines + "4 packets dropped by interface\n").dropped_by_interface == 4


@given(sizes=st.lists(st.integers(0, 200), max_size=20), cut=st.integers(0, 300))
def test_only_whole_packets_count(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cut: int
) -> None:
    head = struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 9_216, 1)
    records = [struct.pack("=IIII", 0, 0, size, size) + bytes(size) for size in sizes]
    whole = head + b"".join(records)
    data = whole[: max(len(head), len(whole) - cut)]
    left, complete = len(data) - len(head), 0
    for record in records:
        left -= len(record)
        complete += left >= 0
    file = tmp_path_factory.mktemp("captures") / "some.pcap"
    file.write_bytes(data)
    assert count_packets(file) == complete


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.pcap"
    file.write_bytes(b"not a capture at all, but long enough")
    with pytest.raises(LabError, match=r"x\.pcap"):
        count_packets(file)


@pytest.mark.lab
def test_the_stand_in_says_which_interface_it_cannot_find(tmp_path: Path) -> None:
    done = subprocess.run(
        [*isolated(packets.__name__), "nowhere0", str(tmp_path / "x"), "96"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "nowhere0" in done.stderr) == (1, True)
