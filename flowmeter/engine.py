"""Feeds packets to the compiled core, makes room in it and takes finished flows out.

It knows nothing of files or tables: packets come in as arrays, finished flows leave as arrays. The
memory it holds grows with the flows open at once, not with those that have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowmeter.config import MeterConfig
from flowmeter.core.deal import deal
from flowmeter.core.hashing import rebuild
from flowmeter.core.layout import CLOSED, FLOW, FORCED, RESET, Integers, Records, Rows, Slots
from flowmeter.core.recent import grown_recent, new_recent, note_openings
from flowmeter.core.rejects import REJECTS
from flowmeter.core.store import LIMITS, SPARE_SEGMENTS, Memory, take_rows
from flowmeter.core.track import advance, track

FIRST_SLOTS: Final = 4096
TAKE_FLOWS: Final = 8192  # finished flows leave in parts of this many, and the rest at the end
TIMEOUTS: Final = ("tcp_idle", "udp_idle", "other_idle", "linger")
FOREVER_NS: Final = 2**61
LAST_TICK: Final = 2**62
ORDER: Final = ("tick", "first_ns", "tag", "low_lo", "high_lo", "low_hi", "high_hi", "ordinal")


class Engine:
    """A flow table at work: `feed` it packets, `finish` it; both return the flows that ended.

    Flows come in the order in which they ended: by whole second of the capture's clock, then by
    first packet, then by key. How packets are batched, and on how many shards, changes nothing.

    Attributes
    ----------
    packets
        Packets fed so far.
    rejects
        Packets in no flow, by reject code.
    """

    def __init__(self, config: MeterConfig, *, slots: int = FIRST_SLOTS) -> None:
        if config.recent_s > 0 or config.semantics == "tstat":
            config = replace(config, threads=1)  # what began before is one order for all flows
        self._shards = [
            _Shard(config, number, slots, of=config.threads) for number in range(config.threads)
        ]
        self.packets = 0

    @property
    def shards(self) -> int:
        """How many threads can feed it at once."""
        return len(self._shards)

    @property
    def rejects(self) -> Integers:
        """Packets in no flow, by reject code."""
        total: Integers = np.sum([shard.rejects for shard in self._shards], axis=0)
        return total

    @property
    def slots(self) -> int:
        """Room for flows that are open at once, before it grows."""
        return sum(shard.slots for shard in self._shards)

    def feed(self, packets: Records) -> Iterator[Rows]:
        """Take dissected packets (PACKET records, in order of arrival)."""
        for number in range(self.shards):
            self.feed_shard(number, packets)
        return self.fed(packets)

    def feed_shard(self, number: int, packets: Records) -> None:
        """Take those of the packets that are the shard's; all shards may do so at once."""
        self._shards[number].feed(packets)

    def fed(self, packets: Records) -> Iterator[Rows]:
        """What has ended after every shard took its packets; the next ones come after that."""
        self.packets += len(packets)
        return self._ended(in_parts_of=TAKE_FLOWS)

    def advance(self, clock_ns: int) -> Iterator[Rows]:
        """Let time pass without packets (live): idle flows end; give what has ended until now."""
        for shard in self._shards:
            shard.advance(clock_ns)
        return self._ended()

    def finish(self) -> Iterator[Rows]:
        """End every open flow."""
        for shard in self._shards:
            shard.end_all()
        return self._ended()

    def _ended(self, in_parts_of: int = 1) -> Iterator[Rows]:
        """Take out what ended, a part at a time; what makes no whole part stays for later."""
        if sum(shard.finished for shard in self._shards) < in_parts_of:
            return iter(())
        ended = [shard.ended() for shard in self._shards]
        number = np.repeat(np.arange(len(ended)), [len(slots) for slots in ended])
        slots = np.concatenate(ended)
        leave = len(slots) // in_parts_of * in_parts_of
        order = np.arange(len(slots))
        if leave:
            order = self._order(slots, number)
        for at, shard in enumerate(self._shards):
            stay = order[leave:]
            shard.keep(slots[stay[number[stay] == at]])
        return self._parts(slots[order[:leave]], number[order[:leave]])

    def _order(self, slots: Slots, number: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Sorts flows by `ORDER`; ``number`` says of which shard each is."""

        def column(name: str, chosen: Any) -> npt.NDArray[Any]:
            place, whose = slots[chosen], number[chosen]
            if len(self._shards) == 1:
                return self._shards[0].key(name, place)
            values = np.empty(len(place), FLOW[name])
            for at, shard in enumerate(self._shards):
                values[whose == at] = shard.key(name, place[whose == at])
            return values

        tick, first_ns = column("tick", ...), column("first_ns", ...)
        order = np.lexsort((first_ns, tick))
        same = (np.diff(tick[order]) == 0) & (np.diff(first_ns[order]) == 0)
        # The rest of the key is compared only where these are equal: of most flows it never is.
        tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        if len(tied):
            flows = order[tied]
            order[tied] = flows[np.lexsort([column(name, flows) for name in reversed(ORDER)])]
        return order

    def _parts(self, slots: Slots, number: npt.NDArray[np.intp]) -> Iterator[Rows]:
        """Take flows out in this order; ``number`` says of which shard each is."""
        for begin in range(0, len(slots), TAKE_FLOWS):
            part, whose = slots[begin : begin + TAKE_FLOWS], number[begin : begin + TAKE_FLOWS]
            of_shards = [np.flatnonzero(whose == at) for at in range(len(self._shards))]
            taken = [part[places] for places in of_shards]
            memories = [shard.memory for shard in self._shards]
            rows = take_rows(memories, taken, [places.astype(np.int32) for places in of_shards])
            for shard, free in zip(self._shards, taken, strict=True):
                shard.free(free)
            yield rows


class _Shard:
    """The flows whose hash falls to one thread."""

    def __init__(self, config: MeterConfig, number: int, slots: int, *, of: int) -> None:
        self._number, self._of = number, of
        self.memory = Memory(slots, config.sequence, _limits(config), config.recent_s > 0)
        rebuild(self.memory.store)  # nothing to do yet, but compiled before packets come
        self._recent = new_recent(round(config.recent_s * 1e9)) if config.recent_s > 0 else None
        self._at_once = config.semantics == "tstat"  # no flow lingers
        self.rejects = np.zeros(len(REJECTS), np.int64)
        self._work = np.empty(0, np.int64)  # see `deal`

    @property
    def finished(self) -> int:
        return int(self.memory.store.cursor["finished"][0])

    @property
    def slots(self) -> int:
        return self.memory.slots

    def feed(self, packets: Records) -> None:
        memory = self.memory
        while memory.store.cursor["free"][0] < len(packets):  # each may begin a flow
            memory.grow_flows()
            rebuild(memory.store)
        if len(self._work) < 2 * len(packets):
            self._work = np.empty(2 * len(packets), np.int64)
        work, rejects = self._work, self.rejects
        count = deal(memory.store, packets, self._number, self._of, rejects, work)
        done = 0
        while done < count:
            done = track(memory.store, packets, work, done, count, self._of, rejects)
            if memory.store.cursor["spare_segments"][0] < SPARE_SEGMENTS:
                memory.grow_segments()
        if self._recent:
            self._note(packets)

    def _note(self, packets: Records) -> None:
        """Say of the flows that began with these packets what began before them."""
        noted = 0
        while self._recent:
            store, out = self.memory.store, self.memory.recent_rows
            noted = note_openings(self._recent, packets, noted, store.flows, out)
            if noted == len(packets):
                return
            self._recent = grown_recent(self._recent)

    def advance(self, clock_ns: int) -> None:
        advance(self.memory.store, clock_ns)

    def end_all(self) -> None:
        """End the flows that are still open, with the capture's last tick."""
        store = self.memory.store
        slots = np.flatnonzero(store.flows["used"]).astype(np.int32)
        store.flows["end_reason"][slots] = FORCED
        if self._at_once:
            closed = slots[store.flows["closed"][slots] == 1]
            by_reset = store.sides["rst"][closed].any(axis=1)
            store.flows["end_reason"][closed] = np.where(by_reset, RESET, CLOSED)
        store.flows["tick"][slots] = LAST_TICK
        self.keep(slots)
        store.cursor["tick"] = LAST_TICK

    def ended(self) -> Slots:
        """Slots of the flows that ended, except those of the second that still goes on."""
        store = self.memory.store
        slots = store.finished[: self.finished].copy()
        late = store.flows["tick"][slots] > store.cursor["tick"]
        store.cursor["finished"] = 0
        self.keep(slots[late])
        ended: Slots = slots[~late]
        return ended

    def keep(self, slots: Slots) -> None:
        """Let flows that ended wait for others."""
        store, waiting = self.memory.store, self.finished
        store.finished[waiting : waiting + len(slots)] = slots
        store.cursor["finished"] = waiting + len(slots)

    def key(self, name: str, slots: Slots) -> npt.NDArray[np.generic]:
        """A field by which flows are ordered."""
        values: npt.NDArray[np.generic] = self.memory.store.flows[name][slots]
        return values

    def free(self, slots: Slots) -> None:
        """Slots of flows that were taken out may be used again."""
        store = self.memory.store
        free = int(store.cursor["free"][0])
        store.free[free : free + len(slots)] = slots
        store.cursor["free"] = free + len(slots)


def _limits(config: MeterConfig) -> Records:
    limits = np.zeros(1, LIMITS)
    for name in (*TIMEOUTS, "active"):
        limits[f"{name}_ns"] = round(getattr(config, f"{name}_s") * 1e9)
    if config.semantics == "tstat":
        limits["tstat"] = 1
        limits["single_ns"] = 10 * 10**9
        limits["active_ns"] = FOREVER_NS
        limits["udp_idle_ns"] = 200 * 10**9
        limits["linger_ns"] = 0
    limits["least_ns"] = min(int(limits[f"{name}_ns"][0]) for name in TIMEOUTS)
    return limits
