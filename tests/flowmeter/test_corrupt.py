"""What is no capture, or a broken one: an error that helps or a counter, never a traceback."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter import MeterConfig, MeterResult, meter
from tests.flowmeter.conftest import (
    Lab,
    Packet,
    block,
    down,
    enhanced,
    ethernet,
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
from topologies.errors import CaptureError, InputError, NotFoundError

PACKETS = [up(0, tcp("S", 1)), down(0.1, tcp("SA", 5, 2)), up(0.2, udp(100))]
PCAP, PCAPNG = pcap_bytes(PACKETS), pcapng_bytes(PACKETS)
HUGE = PCAP[:32] + struct.pack("<I", 0x7FFFFFFF) + PCAP[36:]
BROKEN = {
    "empty": (b"", 0, "an empty file"),
    "one-byte": (b"\xd4", 0, "bytes d4"),
    "text": (b"hello, world", 0, "bytes 68 65 6c 6c"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(20), 0, "an lz4 file"),
    "modified-pcap": (b"\x34\xcd\xb2\xa1" + bytes(40), 0, "a modified pcap (Kuznetzov)"),
    "no-header": (PCAP[:20], 20, "the end of the file"),
    "huge-record": (HUGE, 24, "2147483647 bytes"),
    "block-size": (PCAPNG[:28] + block(6, bytes(40))[:4] + b"\x0d" + bytes(60), 28, "06 00"),
    "block-sizes": (PCAPNG[:-1] + b"\x01", len(PCAPNG) - 176, "06 00"),
    "no-byte-order": (PCAPNG[:8] + bytes(20), 0, "0a 0d"),
    "short-interface": (section() + block(1, bytes(4)), 28, "01 00"),
    "resolution": (section() + interface(options=struct.pack("<HHB3x", 9, 1, 99)), 28, "01 00"),
    "long-packet": (section() + interface() + enhanced(Packet(0, b"", 9), 0)[:20]
                    + b"\xff\xff\x00\x00" + enhanced(Packet(0, b"", 9), 0)[24:], 48, "06 00"),
    "no-room": (section() + block(6, bytes(8)), 28, "06 00"),
    "interfaces": (section() + interface() * 5000, 28 + 20 * 4096, "01 00"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_the_error_names_file_offset_and_remedy(lab: Lab, name: str, suffix: str) -> None:
    data, offset, got = BROKEN[name]
    file = packed(lab, data, f"broken{suffix}")
    with pytest.raises(CaptureError) as caught:
        meter(file)
    (problem,) = caught.value.problems
    assert (problem.file, problem.path) == (str(file), f"byte {offset}")
    assert got in problem.got
    assert problem.remedy


def test_what_comes_before_can_be_kept(lab: Lab) -> None:
    second = 24 + 16 + len(PACKETS[0].frame)
    data = PCAP[: second + 8] + b"\xff\xff\xff\xff" + PCAP[second + 12 :]
    with pytest.raises(CaptureError, match=f"byte {second}: expected a packet record"):
        meter(lab.file(data))
    result = meter(lab.file(data), config=MeterConfig(corrupt="keep"))
    assert (result.packets, result.rejects) == (2, {"corrupt_tail": 1})


@pytest.mark.parametrize("data", [PCAP, PCAPNG], ids=["pcap", "pcapng"])
def test_a_cut_capture_keeps_what_is_whole(lab: Lab, data: bytes) -> None:
    counts = []
    for size in range(len(data) - 1, 47, -1):
        result = meter(lab.file(data[:size]))
        check(result)
        whole = result.packets - result.rejects.get("truncated_tail", 0)
        assert whole == sum(size >= end for end in ends(data))
        counts.append(whole)
    assert sorted(set(counts)) in ([0, 1, 2], [1, 2], [0, 1, 2, 3])


def ends(data: bytes) -> list[int]:
    """Offsets at which the packets of a file end."""
    head, overhead, unit = (24, 16, 1) if data is PCAP else (48, 32, 4)
    places = []
    for packet in PACKETS:
        head += overhead + -(-len(packet.frame) // unit) * unit
        places.append(head)
    return places


NOISE = [Packet(at, ethernet(ip_packet("10.0.0.1", "10.0.0.2", 17, udp(3, sport=at + 1))))
         for at in range(5000)]  # fmt: skip


@pytest.mark.parametrize("name", ["cut.pcap.gz", "cut.pcap.zst"])
def test_a_cut_packed_file_keeps_what_can_be_unpacked(lab: Lab, name: str) -> None:
    file = packed(lab, pcap_bytes(NOISE), name)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    result = meter(file)
    assert result.rejects == {"truncated_tail": 1}
    # zstd gives what it unpacked a block at a time, and this file is few blocks.
    assert (1000 if name.endswith("gz") else 0) < result.packets < 5000


@pytest.mark.parametrize("name", ["damaged.pcap.gz", "damaged.pcap.zst"])
def test_a_damaged_packed_file(lab: Lab, name: str) -> None:
    whole = pcap_bytes(NOISE)
    file = packed(lab, whole, name)
    data = bytearray(file.read_bytes())
    data[-6 if name.endswith("gz") else -2] ^= 0xFF  # its checksum
    file.write_bytes(data)
    with pytest.raises(CaptureError, match="an intact gzip or zstd stream") as caught:
        meter(file)
    (problem,) = caught.value.problems
    offset = int(problem.path.removeprefix("byte "))
    assert len(whole) - 131_072 <= offset <= len(whole)
    assert "setting corrupt='keep'" in problem.remedy
    kept = meter(file, config=MeterConfig(corrupt="keep"))
    assert kept.rejects == {"corrupt_tail": 1}
    assert kept.packets > 1000


def test_a_packed_file_that_is_damaged_at_once(lab: Lab) -> None:
    file = lab.file(b"\x28\xb5\x2f\xfd\xff" + bytes(60), "damaged.zst")
    with pytest.raises(CaptureError, match="byte 0: expected an intact") as caught:
        meter(file, config=MeterConfig(corrupt="keep"))
    assert "keep" not in caught.value.problems[0].remedy


def test_a_file_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(NotFoundError, match="nothing of that name"):
        meter(lab.folder / "missing.pcap")


def test_a_folder(lab: Lab) -> None:
    with pytest.raises(InputError, match="a readable file, got Is a directory"):
        meter(lab.folder)


def test_wrong_settings_are_all_named() -> None:
    with pytest.raises(InputError) as caught:
        MeterConfig(tcp_idle_s=0, active_s=float("nan"), corrupt="maybe")  # type: ignore[arg-type]
    assert [problem.path for problem in caught.value.problems] == [
        "tcp_idle_s",
        "active_s",
        "corrupt",
    ]


def check(result: MeterResult) -> None:
    table = result.table
    in_flows = sum(sum(table.column(f"{side}_packets").to_pylist()) for side in ("c2s", "s2c"))
    assert result.packets == in_flows + sum(result.rejects.values())


def survive(path: Path) -> None:
    """The sums hold, or there is an error about this file; what comes before it can be kept."""
    error = None
    try:
        check(meter(path))
    except CaptureError as caught:
        error = str(caught)
    if error is not None:
        assert str(path) in error
        keeps = "setting corrupt='keep'" in error
        assert (
            keeps
            or re.search("byte [0-3]: expected an intact gzip or zstd stream", error)
            or "pcap or pcapng file" in error
            or "a pcap header" in error
        )
    if error is not None and "setting corrupt='keep'" in error:
        kept = meter(path, config=MeterConfig(corrupt="keep"))
        assert kept.rejects["corrupt_tail"] == 1
        check(kept)


MAGICS = st.sampled_from([PCAP[:24], pcap_bytes([], order=">"), section(), PCAPNG[:48], b""])


@settings(max_examples=300, deadline=None)
@given(head=MAGICS, body=st.binary(max_size=400))
def test_random_bytes(lab: Lab, head: bytes, body: bytes) -> None:
    survive(lab.file(head + body))


FRAMES = [
    ethernet(ip_packet("10.0.0.1", "10.0.0.2", 6, tcp("PA", 1, 1, 30)), tags=(0x8100,)),
    ethernet(ip_packet("2001:db8::1", "2001:db8::2", 0, bytes([17] + [0] * 7) + udp(9))),
    ethernet(ip_packet("10.0.0.1", "10.0.0.2", 17, udp(9), fragment=0x2000)),
]
MIXED = [*PACKETS, *(Packet(1 + at, frame) for at, frame in enumerate(FRAMES))]


@settings(max_examples=500, deadline=None)
@given(
    data=st.sampled_from([pcap_bytes(MIXED), pcapng_bytes(MIXED), pcapng_bytes(MIXED, order=">")]),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 60),
)
def test_mutated_captures(lab: Lab, data: bytes, edits: list[tuple[int, int]], cut: int) -> None:
    mutated = bytearray(data)
    for at, value in edits:
        mutated[at % len(mutated)] = value
    survive(lab.file(bytes(mutated[: len(mutated) - cut])))


@pytest.mark.parametrize("kind", ["gz", "zst"])
@settings(max_examples=100, deadline=None)
@given(more=st.binary(max_size=60), at=st.integers(0, 200), value=st.integers(0, 255))
def test_mutated_packed_files(lab: Lab, kind: str, more: bytes, at: int, value: int) -> None:
    path = packed(lab, PCAP + more, f"mutated.{kind}")
    data = bytearray(path.read_bytes())
    data[4 + at % (len(data) - 4)] = value
    path.write_bytes(data)
    survive(path)
