"""Builds one large capture out of many small real ones: each again and again, as other hosts.

Every repetition shifts time and flips bits of the IP addresses, so flows stay flows and none is
seen twice. Frames keep their bytes otherwise; link types other than Ethernet get an Ethernet header
where they carry IP, for tools that read nothing else.

    python benchmarks/traffic.py --from FOLDER --packets 5000000 big.pcap
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import dpkt
import numpy as np

from flowmeter.input.capture import CaptureReader
from topologies.errors import GstaError

EPOCH_NS: Final = 1_700_000_000 * 10**9
SPREAD_NS: Final = 60 * 10**9  # captures begin within this time of each other
STEP_NS: Final = 20 * 10**9  # between repetitions
RAW_LINKS: Final = (12, 14, 101, 228, 229)
HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)


def main() -> None:
    """Write the capture named on the command line (``-`` is standard output)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--from", dest="folder", type=Path)
    options.add_argument("--head", type=Path, help="copy packets of a capture made here instead")
    options.add_argument("--packets", type=int, default=5_000_000)
    options.add_argument("out")
    asked = options.parse_args()
    if asked.head:
        head(asked.head, asked.packets, Path(asked.out))
        return
    with sys.stdout.buffer if asked.out == "-" else Path(asked.out).open("wb") as out:
        write(asked.folder, asked.packets, out)


def write(folder: Path, packets: int, out: BinaryIO) -> None:
    """Write at least ``packets`` records made of the captures in ``folder``, in order of time."""
    times_ns, frames, addresses = _load(folder)
    rounds = -(-packets // len(frames))
    out.write(HEADER)
    waiting: list[np.ndarray] = []
    for step in range(rounds):
        # Packets of this and later rounds are at or after this step's time: earlier ones can go.
        number = np.arange(len(frames)) + step * len(frames)
        waiting.append(np.stack([times_ns + step * STEP_NS, number]))
        pool = np.concatenate(waiting, axis=1)
        pool = pool[:, np.argsort(pool[0], kind="stable")]
        due = np.searchsorted(pool[0], EPOCH_NS + (step + 1) * STEP_NS)
        _emit(pool[:, :due], frames, addresses, out)
        waiting = [pool[:, due:]]
    _emit(waiting[0], frames, addresses, out)


def _emit(
    pool: np.ndarray, frames: list[bytes], addresses: list[tuple[int, ...]], out: BinaryIO
) -> None:
    chunks = []
    for time_ns, number in pool.T.tolist():
        step, which = divmod(number, len(frames))
        frame = frames[which]
        if step and addresses[which]:
            changed = bytearray(frame)
            for at in addresses[which]:
                changed[at] ^= step & 255
                changed[at + 1] ^= step >> 8
            frame = bytes(changed)
        seconds, rest = divmod(time_ns, 10**9)
        chunks.append(struct.pack("<IIII", seconds, rest // 1000, len(frame), len(frame)))
        chunks.append(frame)
    out.write(b"".join(chunks))


def head(capture: Path, packets: int, out: Path) -> int:
    """Copy the first packets of a capture made here, again and again if it has too few.

    Each repetition comes after the last, so its flows are new ones; the number of packets written.
    """
    written = shift_s = 0
    with out.open("wb") as target:
        target.write(HEADER)
        while written < packets:
            begin = last = 0
            with capture.open("rb") as source:
                source.seek(len(HEADER))
                while written < packets and (record := source.read(16)):
                    seconds, rest, captured, wire = struct.unpack("<IIII", record)
                    begin, last = begin or seconds, max(last, seconds)
                    target.write(struct.pack("<IIII", seconds + shift_s, rest, captured, wire))
                    target.write(source.read(captured))
                    written += 1
            shift_s += last - begin + 3600
    return written


def _load(folder: Path) -> tuple[np.ndarray, list[bytes], list[tuple[int, ...]]]:
    times: list[int] = []
    frames: list[bytes] = []
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for place, path in enumerate(files):
        began = EPOCH_NS + SPREAD_NS * place // len(files)
        first: int | None = None
        for time_ns, frame in _frames(path):
            first = time_ns if first is None else first
            times.append(began + max(time_ns - first, 0))
            frames.append(frame)
    return np.array(times, np.int64), frames, [_addresses(frame) for frame in frames]


def _frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """Times and Ethernet frames of one capture; what is broken ends it."""
    for time_ns, link, frame in raw_frames(path):
        if link == 1 and len(frame) >= 14:
            yield time_ns, frame
        elif link in RAW_LINKS and frame:
            yield time_ns, bytes(12) + (b"\x86\xdd" if frame[0] >> 4 == 6 else b"\x08\x00") + frame


def raw_frames(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Time, link type and bytes of each packet."""
    reader = CaptureReader(path, corrupt="keep")
    try:
        for batch in reader.batches():
            data = reader.data
            for packet in batch:
                if packet["time_ns"] >= 0:
                    at = int(packet["at"])
                    frame = bytes(data[at : at + int(packet["captured"])])
                    yield int(packet["time_ns"]), int(packet["link"]), frame
    except GstaError:
        return


def _addresses(frame: bytes) -> tuple[int, ...]:
    """Where in the frame the middle bytes of its IP addresses are."""
    try:
        packet = dpkt.ethernet.Ethernet(frame)
    except (dpkt.UnpackError, struct.error, IndexError):
        return ()
    if not isinstance(packet.data, dpkt.ip.IP | dpkt.ip6.IP6):
        return ()
    at = frame.find(packet.data.src + packet.data.dst)
    size = len(packet.data.src)
    return (at + size - 3, at + 2 * size - 3) if at > 0 else ()


if __name__ == "__main__":
    main()
