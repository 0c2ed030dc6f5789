"""Feeds packets to the compiled core, makes room in it and takes finished flows out.

It knows nothing of files or tables: packets come in as arrays, finished flows leave as arrays. The
memory it holds grows with the flows open at once, not with those that have ended.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from flowmeter.config import MeterConfig
from flowmeter.dissect import REJECTS
from flowmeter.layout import LIMITS, Records, Rows, grown, new_store
from flowmeter.track import sweep, track

FIRST_SLOTS: Final = 8192


class Engine:
    """A flow table at work: `feed` it packets, `finish` it; both return the flows that ended."""

    def __init__(self, config: MeterConfig, *, slots: int = FIRST_SLOTS) -> None:
        limits = np.zeros(1, LIMITS)
        for name in ("tcp_idle", "udp_idle", "active", "linger"):
            limits[f"{name}_ns"] = round(getattr(config, f"{name}_s") * 1e9)
        self._store = new_store(slots, limits)
        self.packets = 0
        self.rejects = np.zeros(len(REJECTS), np.int64)

    def feed(self, packets: Records) -> list[Rows]:
        """Take dissected packets (PACKET records, in order of arrival)."""
        self.packets += len(packets)
        ended = []
        done = track(self._store, packets, 0, self.rejects)
        while done < len(packets):
            ended.append(self._make_room())
            done = track(self._store, packets, done, self.rejects)
        return ended

    def finish(self) -> list[Rows]:
        """End every open flow."""
        open_slots = np.flatnonzero(self._store.flows["used"])
        ended = [self._take_finished(), self._copy(open_slots)]
        self._store = new_store(len(self._store.flows), self._store.limits)
        return ended

    def _make_room(self) -> Rows:
        """Take out what ended; grow if that frees less than a quarter, so that it stays rare."""
        sweep(self._store)
        ended = self._take_finished()
        slots = len(self._store.flows)
        if self._store.cursor["free"][0] < slots // 4:
            self._store = grown(self._store)
            sweep(self._store)
        return ended

    def _take_finished(self) -> Rows:
        store = self._store
        cursor = store.cursor[0]
        count, free = int(cursor["finished"]), int(cursor["free"])
        slots = store.finished[:count].copy()
        store.free[free : free + count] = slots
        cursor["free"], cursor["finished"] = free + count, 0
        return self._copy(slots)

    def _copy(self, slots: npt.NDArray[np.integer]) -> Rows:
        store = self._store
        return Rows(
            flows=store.flows[slots],
            sides=store.sides[slots],
            sizes=store.sizes[slots],
            payloads=store.payloads[slots],
            directions=store.directions[slots],
            gaps=store.gaps[slots],
        )
