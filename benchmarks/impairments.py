"""Impaired links: asked against measured, for each mechanism that runs here; and their ceiling.

    python -m benchmarks.impairments

Needs root. Probes are those that verify the start of a run, with more frames. What one row asks for
is on one network, and all of a mechanism's networks are measured one after the other.
"""

from __future__ import annotations

import ctypes
import itertools
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.timing import publish
from launcher.addressing import lab_plan
from launcher.impair import USER_SPACE, Links, kernel_has
from launcher.impair.helper import make_calls
from launcher.impair.probe import Lane, lanes_of, pace, saturate
from launcher.impair.verify import measure, rate_mbit
from launcher.labs import Lab
from launcher.netns import NetnsBackend
from topologies import Topology

FRAMES: Final = 10_000
SPENT_S: Final = 10.0
RATES: Final = (0.5, 5, 20, 100, 400)
LINKS: Final[dict[str, dict[str, object]]] = {
    "delay 1 ms": {"delay_ms": 1},
    "delay 20 ms": {"delay_ms": 20},
    "delay 200 ms": {"delay_ms": 200},
    "delay 50 ms, normal jitter 5 ms": {"delay_ms": 50, "jitter_ms": 5},
    "delay 50 ms, uniform jitter 5 ms": {
        "delay_ms": 50,
        "jitter_ms": 5,
        "jitter_distribution": "uniform",
    },
    "delay 50 ms, pareto jitter 5 ms": {
        "delay_ms": 50,
        "jitter_ms": 5,
        "jitter_distribution": "pareto",
    },
    "loss 0.5 %": {"loss_percent": 0.5},
    "loss 5 %": {"loss_percent": 5},
    "loss 5 %, bursts of 4": {"loss_percent": 5, "loss_burst_packets": 4},
    "loss 2 %, bursts of 10": {"loss_percent": 2, "loss_burst_packets": 10},
    "delay 20 ms, reordering 3 %": {"delay_ms": 20, "reorder_percent": 3},
    "duplication 2 %": {"duplicate_percent": 2},
}
LOADS: Final = (20_000, 50_000, 100_000, 150_000, 200_000, 300_000, 400_000)
BATCH: Final = 32


@dataclass(frozen=True)
class Pair:
    """A lab of two hosts on one network."""

    links: Links

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """The way to the first host."""
        place = self.links.places[0]
        [stage] = self.links.stages[place.segment.name]
        bucket = not self.links.cut(place.segment.name)
        stack, lanes = lanes_of(
            place, {"down": stage.down}, bucket=bucket, fabric=self.links.fabric
        )
        with stack:
            yield lanes[0]


@contextmanager
def pair(impairments: dict[str, object]) -> Iterator[Pair]:
    """That lab, up."""
    topology = {
        "name": "pair",
        "networks": {"lan": {"subnet": "198.18.30.0/24", "impairments": impairments}},
        "hosts": {"host": {"networks": ["lan"], "count": 2}},
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        Lab.create(backend="netns", run_dir=Path(folder)) as lab,
    ):
        backend = NetnsBackend(lab)
        try:
            backend.up(lab_plan(Topology.model_validate(topology)), Path(folder))
            yield Pair(backend.links)
        finally:
            backend.down()


def main() -> None:
    """Measure everything that this kernel can do."""
    if kernel_has("tbf"):
        _rates("tbf", {})
    mechanism = "netem" if kernel_has("netem") else USER_SPACE
    _rates(mechanism, {"delay_ms": 5})
    _qualities(mechanism)
    if mechanism == USER_SPACE:
        _ceiling()


def _rates(mechanism: str, more: dict[str, object]) -> None:
    rows: list[list[object]] = []
    for rate in RATES:
        with pair({"rate_mbit": rate, **more}) as lab, lab.lane() as lane:
            found = []
            for _ in range(5):
                again = lane.again()
                saturate([again])
                found.append(rate_mbit(again))
        said = [value for value in found if value is not None]
        shown = [statistics.median(said), min(said), max(said)] if said else [None] * 3
        rows.append([f"{rate:g}", *(_two(value) for value in shown)])
    columns = ["asked, Mbit/s", "measured, median of 5", "least", "most"]
    publish(f"Impairments: rate by {mechanism}", "python -m benchmarks.impairments", columns, rows)


def _qualities(mechanism: str) -> None:
    rows: list[list[object]] = []
    for name, asked in LINKS.items():
        with pair(asked) as lab, lab.lane() as lane:
            pace([lane], frames=FRAMES, spent_s=SPENT_S)
        found, seen = measure(lane), {sequence for sequence, *_ in lane.arrived}
        delays = sorted(delay / 1e6 for _, delay, _, _ in lane.arrived)
        rows.append(
            [
                name,
                _two(found.delay_ms),
                _two(statistics.fmean(delays)),
                _two(found.jitter_ms),
                _two(delays[int(0.99 * len(delays))]),
                _two(found.loss_percent),
                _two(_mean_burst(seen, lane.sent)),
                _two(found.reorder_percent),
                _two(found.duplicate_percent),
            ]
        )
    columns = ["asked", "delay, median ms", "mean", "deviation", "p99", "loss %", "mean burst"]
    columns += ["reordered %", "doubled %"]
    title = f"Impairments: all but the rate, by {mechanism}, {FRAMES:,} frames in {SPENT_S:g} s"
    publish(title, "python -m benchmarks.impairments", columns, rows)


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _mean_burst(seen: set[int], sent: int) -> float | None:
    there = [number in seen for number in range(sent)]
    lengths = [len(list(run)) for here, run in itertools.groupby(there) if not here]
    return statistics.fmean(lengths) if lengths else None


def _ceiling() -> None:
    """How many frames a second one user-space link carries before it loses any of itself."""
    rows: list[list[object]] = []
    for size in (64, 1_514):
        for load in LOADS:
            with pair({"delay_ms": 5}) as lab, lab.lane() as lane:
                lab.links.restart()
                sent, seconds = _flood(lane.sender, size, load)
                time.sleep(0.2)
                arrived = int.from_bytes(lane.receiver.getsockopt(263, 6, 8)[:4], "little")
            rows.append([f"{size} bytes", round(sent / seconds), arrived / sent * 100])
            if sent / seconds < 0.8 * load:
                break
    columns = ["frames of", "offered, frames/s", "carried, %"]
    title = "Impairments: ceiling of a user-space link, one way, 5 ms"
    publish(title, "python -m benchmarks.impairments", columns, rows)


def _flood(sender: socket.socket, size: int, per_second: int) -> tuple[int, float]:
    """Send frames for a second, many in a call; how many, and how long it took."""
    head = bytes.fromhex("0180c200000e02677374610088b5")
    frame = ctypes.create_string_buffer(head.ljust(size, b"\0"), size)
    calls, libc = make_calls(0), ctypes.CDLL(None)
    for number in range(BATCH):
        calls.vectors[number] = (ctypes.addressof(frame), size)
        calls.messages[number, 2] = calls.vectors.ctypes.data + 16 * number
        calls.messages[number, 3] = 1
    sender.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
    began, sent = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < 1:
        while sent < passed * per_second:
            place = ctypes.c_void_p(calls.messages.ctypes.data)
            sent += max(0, libc.sendmmsg(sender.fileno(), place, BATCH, 0))
    return sent, time.perf_counter() - began


if __name__ == "__main__":
    main()
