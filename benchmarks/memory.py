"""Peak memory: a capture ten times as long through a pipe, and up to a million open flows.

    python -m benchmarks.memory --from FOLDER --packets 5000000

The bar is 200 MB and 1.5 kB for each flow that is open at once.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.timing import publish, run

HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
FLOOR_MB, FLOW_KB = 200.0, 1.5
METER: Final = (sys.executable, "-m", "gsta", "meter", "-", "--out")
CHUNK: Final = 10_000


def main() -> None:
    """Measure both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--from", dest="folder", type=Path)
    options.add_argument("--packets", type=int, default=5_000_000)
    options.add_argument("--flows", type=int, default=10**6)
    options.add_argument("--emit", type=int, help="write a capture of so many open flows to stdout")
    asked = options.parse_args()
    if asked.emit:
        for chunk in open_flows(asked.emit):
            sys.stdout.buffer.write(chunk)
        return
    _piped(_emitter(1))  # what it compiles is kept
    if asked.folder:
        _longer(asked.folder, asked.packets)
    _wider(asked.flows)


def _longer(folder: Path, packets: int) -> None:
    rows: list[list[object]] = []
    for count in (packets, 10 * packets):
        writer = [sys.executable, "-m", "benchmarks.traffic", "--from", str(folder), "--packets",
                  str(count), "-"]  # fmt: skip
        rows.append([count, _piped(writer)])
    columns = ["packets through a pipe", "peak MB"]
    publish("Memory and length of the capture", "python -m benchmarks.memory", columns, rows)


def _wider(most: int) -> None:
    rows: list[list[object]] = []
    for count in (10**4, 10**5, 10**6):
        if count <= most:
            allowed = FLOOR_MB + count * FLOW_KB / 1000
            rows.append([count, _piped(_emitter(count)), allowed])
    columns = ["flows open at once", "peak MB", "the bar, MB"]
    publish("Memory and open flows", "python -m benchmarks.memory", columns, rows)


def _emitter(count: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.memory", "--emit", str(count)]


def _piped(writer: list[str]) -> float:
    """Peak memory of the meter that reads what a command writes, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        source = subprocess.Popen(writer, stdout=subprocess.PIPE)
        command = [*METER, str(Path(folder) / "x.parquet")]
        if source.stdout:
            with source.stdout as stream:
                once = run(command, cores=2, stdin=stream.fileno())
        if source.wait():
            sys.exit("the traffic writer failed")
    return once.peak_mb


def open_flows(count: int) -> Iterator[bytes]:
    """Chunks of a capture in which each of many UDP flows has three packets within 30 s."""
    yield HEADER
    for turn in range(3):
        for begin in range(0, count, CHUNK):
            yield b"".join(
                _record(turn, number, count) for number in range(begin, min(begin + CHUNK, count))
            )


def _record(turn: int, number: int, count: int) -> bytes:
    micros = turn * 10_000_000 + number * 10_000_000 // count
    seconds, rest = divmod(micros, 1_000_000)
    host = struct.pack(">I", 0x0A000000 + number // 60)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 38, 1, 0, 64, 17, 0) + host + b"\xc0\x00\x02\x01"
    frame = bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", 1024 + number % 60, 53, 18, 0)
    frame += bytes(10)
    return struct.pack("<IIII", 1_700_000_000 + seconds, rest, len(frame), len(frame)) + frame


if __name__ == "__main__":
    main()
