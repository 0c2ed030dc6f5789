"""How busy the machine was during a run: on one that is saturated, times are about the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.losses import Clocks, Losses
from launcher.records import HostLoad

SAMPLE_S: Final = 1.0
IDLE: Final = (3, 4)  # columns of /proc/stat: idle, and idle with a disk at work
STEAL: Final = 7
BUSY_COLUMNS: Final = 8  # guests are in the first of them already


@dataclass(frozen=True, slots=True)
class _Reading:
    time_s: float
    ticks: tuple[int, ...]
    running: int
    pressure_us: int | None


class LoadWatch:
    """Looks at the machine and its clock now and then, from `start` to `stop`.

    Parameters
    ----------
    losses
        Is told when somebody sets the clock.
    proc, cgroups
        Where the kernel's files are.

    Attributes
    ----------
    result
        After `stop`: what there is to say.
    """

    def __init__(
        self,
        losses: Losses,
        *,
        proc: Path = Path("/proc"),
        cgroups: Path = Path("/sys/fs/cgroup"),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._losses, self._proc, self._cgroups, self._now_s = losses, proc, cgroups, now_s
        self.result: HostLoad | None = None
        self.start()

    def start(self) -> None:
        """Begin, or begin again."""
        self._clocks = Clocks(self._losses)
        self._first = self._last = self._read()
        self._throttled = self._throttles()
        self._busiest, self._waiting, self._looks = 0.0, 0.0, 0

    def look(self) -> None:
        """Look at the clock, and take a sample if the last one is a second old."""
        self._clocks.check()
        if self._now_s() - self._last.time_s >= SAMPLE_S:
            self._sample()

    def stop(self) -> None:
        """Sum up."""
        self._sample()
        busy, steal = _shares(self._first, self._last)
        seconds = max(self._last.time_s - self._first.time_s, 1e-9)
        stalled = None
        if self._first.pressure_us is not None and self._last.pressure_us is not None:
            stalled = (self._last.pressure_us - self._first.pressure_us) / 1e6 / seconds
        before, after = self._throttled, self._throttles()
        throttled_us = sum(max(us - before.get(name, 0), 0) for name, us in after.items())
        self.result = HostLoad(
            seconds=seconds,
            samples=self._looks,
            busy_share=busy,
            busiest_share=self._busiest,
            steal_share=steal,
            runnable_per_cpu=self._waiting / self._looks,
            stalled_share=stalled,
            throttled_s=throttled_us / 1e6,
            clock_step_ms=self._clocks.largest_step_ns / 1e6,
        )

    def _sample(self) -> None:
        before, self._last = self._last, self._read()
        self._busiest = max(self._busiest, _shares(before, self._last)[0])
        self._waiting += self._last.running / (os.cpu_count() or 1)
        self._looks += 1

    def _read(self) -> _Reading:
        lines = (self._proc / "stat").read_text(encoding="ascii").splitlines()
        fields = {line.split()[0]: line.split()[1:] for line in lines if line}
        return _Reading(
            time_s=self._now_s(),
            ticks=tuple(int(text) for text in fields["cpu"][:BUSY_COLUMNS]),
            running=int(fields["procs_running"][0]),
            pressure_us=self._pressure(),
        )

    def _pressure(self) -> int | None:
        """For how long some process had to wait for a processor, since the machine started."""
        try:
            text = (self._proc / "pressure" / "cpu").read_text(encoding="ascii")
        except OSError:  # a kernel without it, or one that does not tell
            return None
        return int(text.splitlines()[0].rpartition("total=")[2])

    def _throttles(self) -> dict[str, int]:
        """For how long each control group was held back by its limit so far, in microseconds."""
        found = {}
        for folder, _, _ in os.walk(self._cgroups):  # which takes it calmly if one has just gone
            path = Path(folder, "cpu.stat")
            try:
                text = path.read_text(encoding="ascii")
            except OSError:
                continue
            for line in text.splitlines():
                if line.startswith("throttled_usec "):
                    found[str(path)] = int(line.split()[1])
        return found


def _shares(one: _Reading, other: _Reading) -> tuple[float, float]:
    """Of the processors' time between two readings what was busy, and what was stolen."""
    spent = [b - a for a, b in zip(one.ticks, other.ticks, strict=True)]
    total = sum(spent)
    if total <= 0:
        return 0.0, 0.0
    return 1 - sum(spent[column] for column in IDLE) / total, spent[STEAL] / total
