"""Every capture of a run, from start to stop, and where its packets go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from launcher.backend import Backend, Capture
from launcher.capture import CaptureOptions
from launcher.losses import Losses
from launcher.records import CaptureRecord
from topologies.errors import LabError

LOOK_S: Final = 0.5

Sink = Callable[[str], Path]
"""A named pipe, being read by somebody, for the packets of the capture point it is given."""


class Captures:
    """The captures of a run. One that ends by itself ends the run: nobody could label the rest."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._running: list[Capture] = []
        self._looked = time.monotonic()

    def start(
        self,
        backend: Backend,
        points: Iterable[str],
        folder: Path,
        *,
        options: CaptureOptions,
        sink: Sink | None,
    ) -> None:
        """Start all of them; each point's packets go to a file of its name in ``folder``."""
        for point in points:
            file = folder / f"{point.replace(':', '_')}.pcap" if sink is None else sink(point)
            self._running.append(backend.capture(point, file, options))

    def check(self) -> None:
        """Raise `LabError` if one of them has ended."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for capture in self._running:
            if why := capture.failure():
                raise LabError(why)

    def stop(self) -> tuple[CaptureRecord, ...]:
        """End them all; what each has, whatever became of it."""
        records = tuple(capture.stop() for capture in self._running)
        for record in records:
            if record.lost:
                self._losses.add(record.lost)
            if dropped := record.dropped_by_kernel + record.dropped_by_interface:
                self._losses.add(
                    f"the capture of {record.network} lost {dropped} packets: "
                    f"{record.dropped_by_kernel} in the kernel, "
                    f"{record.dropped_by_interface} at the interface"
                )
        return records
