"""The same packets give the same rows, whatever file they come in."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flowmeter import meter
from tests.flowmeter.conftest import (
    CLIENT,
    SERVER,
    START_NS,
    Lab,
    Packet,
    block,
    down,
    enhanced,
    ethernet,
    exact,
    interface,
    ip_packet,
    pcap_bytes,
    pcapng_bytes,
    section,
    tcp,
    udp,
    up,
)
from tests.flowmeter.frames import packed

IPS = [
    ip_packet(CLIENT, SERVER, 6, tcp("S", 1)),
    ip_packet(SERVER, CLIENT, 6, tcp("SA", 9, 2, sport=443, dport=40000)),
    ip_packet("2001:db8::1", "2001:db8::2", 17, udp(30)),
    ip_packet(CLIENT, SERVER, 6, tcp("PA", 2, 10, 100)),
]
PACKETS = [Packet(0.25 * number, ethernet(ip)) for number, ip in enumerate(IPS)]


def framed(wrap: Callable[[bytes], bytes]) -> list[Packet]:
    return [Packet(packet.time_s, wrap(ip)) for packet, ip in zip(PACKETS, IPS, strict=True)]


def ethertype(ip: bytes) -> bytes:
    return b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\x00"


def family(ip: bytes, order: str) -> bytes:
    return struct.pack(order + "I", 30 if ip[0] >> 4 == 6 else 2)


def cooked(ip: bytes) -> bytes:
    return bytes(14) + ethertype(ip) + ip


def snap(ip: bytes) -> bytes:
    return bytes(12) + b"\x00\x40\xaa\xaa\x03\x00\x00\x00" + ethertype(ip) + ip


def resolved(option: bytes, ticks: Callable[[int], int]) -> bytes:
    """A pcapng whose interface has an option and time in its own units."""
    blocks = [enhanced(packet, ticks(packet.time_ns)) for packet in PACKETS]
    return section() + interface(options=option) + b"".join(blocks)


def two_interfaces() -> bytes:
    nanoseconds = interface(101, struct.pack("<HHB3x", 9, 1, 9))
    blocks = [
        enhanced(Packet(packet.time_s, ip), packet.time_ns, 1)
        if number % 2
        else enhanced(packet, packet.time_ns // 1000, 0)
        for number, (packet, ip) in enumerate(zip(PACKETS, IPS, strict=True))
    ]
    return section() + interface() + nanoseconds + block(5, bytes(8)) + b"".join(blocks)


def two_sections() -> bytes:
    return pcapng_bytes(PACKETS[:2]) + pcapng_bytes(PACKETS[2:], order=">")


def old_packet_blocks() -> bytes:
    blocks = []
    for packet in PACKETS:
        ticks, size = packet.time_ns // 1000, len(packet.frame)
        head = struct.pack("<HHIIII", 0, 3, ticks >> 32, ticks & 0xFFFFFFFF, size, size)
        blocks.append(block(2, head + packet.frame))
    return section() + interface() + b"".join(blocks)


SECOND = 10**9
FILES = {
    "microseconds-big": pcap_bytes(PACKETS, order=">"),
    "nanoseconds": pcap_bytes(PACKETS, unit_ns=1),
    "nanoseconds-big": pcap_bytes(PACKETS, order=">", unit_ns=1),
    "pcapng": pcapng_bytes(PACKETS),
    "pcapng-big": pcapng_bytes(PACKETS, order=">"),
    "pcapng-interfaces": two_interfaces(),
    "pcapng-sections": two_sections(),
    "pcapng-old-blocks": old_packet_blocks(),
    "pcapng-milliseconds": resolved(struct.pack("<HHB3x", 9, 1, 3), lambda ns: ns // 10**6),
    "pcapng-picoseconds": resolved(
        struct.pack("<HHB3xHHq", 9, 1, 12, 14, 8, START_NS // SECOND),
        lambda ns: (ns - START_NS) * 1000,
    ),
    "pcapng-binary": resolved(
        struct.pack("<HHB3x", 9, 1, 0x80 | 20), lambda ns: (ns << 20) // SECOND
    ),
    "pcapng-fine-binary": resolved(
        struct.pack("<HHB3xHHq", 9, 1, 0x80 | 40, 14, 8, START_NS // SECOND),
        lambda ns: ((ns - START_NS) << 40) // SECOND,
    ),
    "pcapng-offset": resolved(struct.pack("<HHq", 14, 8, 1000), lambda ns: ns // 1000 - 10**9),
    "vlan": pcap_bytes([Packet(p.time_s, p.frame[:12] + b"\x81\0\0\5" + p.frame[12:])
                        for p in PACKETS]),
    "qinq": pcap_bytes(framed(lambda ip: ethernet(ip, tags=(0x88A8, 0x8100)))),
    "vlan-twice": pcap_bytes(framed(lambda ip: ethernet(ip, tags=(0x8100, 0x8100)))),
    "snap": pcap_bytes(framed(snap)),
    "cooked": pcap_bytes(framed(cooked), link=113),
    "cooked-2": pcap_bytes(framed(lambda ip: ethertype(ip) + bytes(18) + ip), link=276),
    "raw": pcap_bytes(framed(bytes), link=101),
    "null-little": pcap_bytes(framed(lambda ip: family(ip, "<") + ip), link=0),
    "null-big": pcap_bytes(framed(lambda ip: family(ip, ">") + ip), link=0),
    "loop": pcap_bytes(framed(lambda ip: family(ip, ">") + ip), link=108),
    "checksum-length-in-link": pcap_bytes(PACKETS, link=0x54000001),
    "padded": pcap_bytes(framed(lambda ip: ethernet(ip) + bytes(13))),
    "cut": pcap_bytes([Packet(p.time_s, p.frame[:74], len(p.frame)) for p in PACKETS]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_identical_rows(lab: Lab, name: str) -> None:
    expected = lab.meter(PACKETS)
    assert (expected.packets, expected.table.num_rows, expected.rejects) == (4, 2, {})
    for file in (name, f"{name}.gz", f"{name}.zst"):
        result = meter(packed(lab, FILES[name], file))
        assert result.rejects == {}
        assert exact(result) == exact(expected)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_packed_files_follow_each_other(lab: Lab, kind: str) -> None:
    data = pcap_bytes(PACKETS)
    parts = [packed(lab, part, f"part.{kind}").read_bytes() for part in (data[:100], data[100:])]
    notes = b"\x5a\x2a\x4d\x18\x03\0\0\0abc" if kind == "zst" else b""  # a frame without data
    joined = lab.folder / f"joined.pcap.{kind}"
    joined.write_bytes(notes + parts[0] + notes + parts[1] + notes)
    result = meter(joined)
    assert (result.packets, result.rejects) == (4, {})


def trickle(data: bytes, writing: int) -> threading.Thread:
    """Write byte by byte: the reader must cope with the shortest reads."""

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as stream:
            for byte in data:
                stream.write(bytes([byte]))

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize("name", ["pipe.pcap", "pipe.pcap.gz", "pipe.pcap.zst", "pipe.pcapng"])
def test_a_pipe(lab: Lab, name: str) -> None:
    data = pcapng_bytes(PACKETS) if name.endswith("ng") else pcap_bytes(PACKETS)
    reading, writing = os.pipe()
    thread = trickle(packed(lab, data, name).read_bytes(), writing)
    result = meter(Path(f"/dev/fd/{reading}"))
    thread.join()
    os.close(reading)
    assert result.packets == 4


PRINTS = """
import sys
from pathlib import Path
from flowmeter.input.capture import CaptureReader
reader = CaptureReader(Path("-"))
try:
    print(sum(len(batch) for batch in reader.batches()), reader.tail)
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["in.pcap", "in.pcap.gz", "in.pcap.zst"])
def test_standard_input(lab: Lab, name: str) -> None:
    data = packed(lab, pcap_bytes(PACKETS), name).read_bytes()
    for given, said in ((data, "4 \n"), (b"hello", "standard input: byte 0: expected a pcap or")):
        command = [sys.executable, "-c", PRINTS]
        done = subprocess.run(command, input=given, capture_output=True, check=True)
        assert done.stdout.decode().startswith(said)


def test_parts_of_a_capture_merge_by_time(lab: Lab) -> None:
    talk = [step(0.1 * number, udp(number)) for number, step in enumerate([up, down] * 40)]
    whole = exact(lab.meter(talk))
    halves = [lab.file(pcap_bytes(part), f"{at}.pcap") for at, part in
              enumerate((talk[40:], talk[:40]))]  # fmt: skip
    interleaved = [lab.file(pcap_bytes(talk[at::3]), f"{at}.pcapng") for at in range(3)]
    assert exact(meter(halves)) == whole
    assert exact(meter(interleaved)) == whole


def test_records_larger_than_a_block(lab: Lab) -> None:
    notes = block(0x0BAD, bytes(3_000_000))
    data = pcapng_bytes(PACKETS[:2]) + notes + enhanced(PACKETS[2], PACKETS[2].time_ns // 1000)
    assert meter(lab.file(data)).packets == 3


def test_the_network_and_run_are_in_the_rows_and_ids(lab: Lab) -> None:
    file = lab.file(pcap_bytes(PACKETS))
    tables = [meter(file, run_id=run, network=net).table for run, net in ("ab", "ac", "bb", "ab")]
    ids = [table.column("flow_id").to_pylist() for table in tables]
    assert ids[0] == ids[3]
    assert len({name for table in ids for name in table}) == 6
    assert set(tables[0].column("network").to_pylist()) == {"b"}


def test_an_empty_capture_has_no_flows(lab: Lab) -> None:
    for data in (pcap_bytes([]), section(), section() + interface()):
        result = meter(lab.file(data))
        assert (result.packets, result.table.num_rows, result.rejects) == (0, 0, {})
