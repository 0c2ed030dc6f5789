"""Captures that belong together: one order of time, and few files open at once."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter.core.layout import Records
from flowmeter.input.capture import AHEAD_PACKETS, CORRUPT_TAIL, CaptureReader, joined, merged
from tests.flowmeter.conftest import Lab, Packet, ethernet, ip_packet, pcap_bytes, udp
from tests.flowmeter.frames import packed, read


def noted(number: int, time_s: float) -> Packet:
    """A packet that can be told by its number."""
    return Packet(time_s, ethernet(ip_packet("10.0.0.1", "10.0.0.2", 17, udp(number))))


def numbers(files: list[Path]) -> list[int]:
    readers = [CaptureReader(file) for file in files]
    return [int(number) for batch in merged(readers) for number in batch["payload_bytes"]]


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_a_file_is_open_only_while_it_is_read(lab: Lab) -> None:
    files = [
        packed(lab, pcap_bytes([noted(number, number + at / 10) for at in range(5)]),
               f"part-{number:03}.pcap{'.zst' if number % 3 == 0 else ''}")
        for number in range(60)
    ]  # fmt: skip
    assert numbers(files[:2])  # loads the compiled loops, whose memory counts as open files
    readers = [CaptureReader(file) for file in reversed(files)]
    before, most, seen = open_files(), 0, []
    for batch in merged(readers):
        seen += batch["payload_bytes"].tolist()
        most = max(most, open_files() - before)
    assert seen == [number for number in range(60) for _ in range(5)]
    assert most <= 2
    assert open_files() == before


def test_ties_keep_the_order_of_the_files(lab: Lab) -> None:
    files = [lab.file(pcap_bytes([noted(number, 1)] * 3), f"{number}") for number in range(3)]
    assert numbers(files) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert numbers(files[::-1]) == [2, 2, 2, 1, 1, 1, 0, 0, 0]


def test_a_pipe_and_a_file(lab: Lab) -> None:
    file = lab.file(pcap_bytes([noted(number, number) for number in (1, 3)]), "file.pcap")
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(pcap_bytes([noted(number, number) for number in (2, 4)]))

    thread = threading.Thread(target=write)
    thread.start()
    assert numbers([file, Path(f"/dev/fd/{reading}")]) == [1, 2, 3, 4]
    thread.join()
    os.close(reading)


def test_empty_files_among_others(lab: Lab) -> None:
    empty = lab.file(pcap_bytes([]), "empty.pcap")
    file = lab.file(pcap_bytes([noted(1, 1)]), "file.pcap")
    assert numbers([empty, file, empty]) == [1]
    assert numbers([empty, empty]) == []
    assert numbers([]) == []


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=2, max_size=5))
def test_any_files(lab: Lab, parts: list[list[int]]) -> None:
    """Files in disorder too: a packet counts at the latest time seen in its file so far."""
    files, expected, number = [], [], 0
    for place, times in enumerate(parts):
        packets, latest = [], 0
        for time in times:
            latest = max(latest, time)
            expected.append((latest, place, number))
            packets.append(noted(number, time))
            number += 1
        files.append(lab.file(pcap_bytes(packets), f"any-{place}.pcap"))
    assert numbers(files) == [number for _, _, number in sorted(expected)]


def test_frames_can_be_read_beside_their_packets(lab: Lab) -> None:
    packets = [noted(number % 900, number / 1000) for number in range(9000)]
    reader = CaptureReader(lab.file(pcap_bytes(packets), "frames.pcap.gz"))
    frames = []
    for batch in reader.batches():
        for packet in batch:
            at = int(packet["at"])
            frames.append(bytes(reader.data[at : at + int(packet["captured"])]))
    assert frames == [packet.frame for packet in packets]


def test_batches_stay_as_long_as_they_are_in_use(lab: Lab) -> None:
    frame = noted(1, 0).frame
    data = pcap_bytes([]) + b"".join(
        struct.pack("<IIII", 1_700_000_000, number, len(frame), len(frame)) + frame
        for number in range(5 * AHEAD_PACKETS)
    )
    path = lab.file(data, "long.pcap")
    waiting: list[tuple[Records, Records]] = []
    for batch in CaptureReader(path, in_use=3).batches():
        waiting.append((batch, batch.copy()))
        for later, as_it_was in waiting[-3:]:
            assert (later == as_it_was).all()
    assert [len(batch) >= AHEAD_PACKETS for batch, _ in waiting] == [True] * 4 + [False]
    assert (joined([batch for _, batch in waiting]) == read(path)).all()


@pytest.mark.parametrize("in_use", [1, 3])
def test_what_comes_before_damage_is_kept_in_larger_batches_too(lab: Lab, in_use: int) -> None:
    data = pcap_bytes([noted(number, number) for number in range(10)]) + b"\xff" * 64
    reader = CaptureReader(lab.file(data, "broken.pcap"), corrupt="keep", in_use=in_use)
    batches = [batch["payload_bytes"].tolist() for batch in reader.batches()]
    assert batches == [list(range(10))]
    assert reader.tail == CORRUPT_TAIL
