"""Who opened which connection when, as somebody told it: a list of openings, joined with flows.

The kernel tells them to the oracle, and programs in their own logs to the rules; neither list is
ever given to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tagger.flows import FlowKeys, Int64s
from tagger.keys import AddressPairs, lookup, pack

OPENINGS: Final = pa.schema(
    [
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("protocol", pa.int64(), nullable=False),
        pa.field("src", pa.string(), nullable=False),
        pa.field("sport", pa.int64(), nullable=False),
        pa.field("dst", pa.string(), nullable=False),
        pa.field("dport", pa.int64(), nullable=False),
        pa.field("activity", pa.string()),
    ]
)
"""What is needed of each."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An activity or service that may own flows: until when it lived, and its number."""

    number: int
    stop_ns: int
    serves: bool = False


def _distinct(ascending: Int64s) -> Int64s:
    return np.asarray(ascending[np.diff(ascending, prepend=-1) != 0], dtype=np.int64)


class OpeningIndex:
    """Finds the owner of flows in a list of openings.

    A connection is told once, when it begins. So the opening of a flow is the latest one
    of its 5-tuple (either way round) that is no later than the flow's first packet plus the clock
    tolerance, provided its owner still lived then, give or take the linger.

    Parameters
    ----------
    table
        With the columns of `OPENINGS`.
    owners
        By activity or service id; openings of others are left out.
    """

    def __init__(self, table: pa.Table, owners: Mapping[str, Owner]) -> None:
        ids = pa.array(list(owners), type=pa.string())
        code = pc.fill_null(pc.index_in(table["activity"], value_set=ids), -1).to_numpy()
        rows = np.flatnonzero(code >= 0)
        rows = rows[np.argsort(table["time_ns"].to_numpy()[rows], kind="stable")]
        kept, code = table.take(pa.array(rows)), code[rows]
        src, dst = (kept[name].combine_chunks() for name in ("src", "dst"))
        numbers = {name: kept[name].to_numpy() for name in ("protocol", "sport", "dport")}
        self._pairs = AddressPairs(src, dst)
        keys = pack(self._pairs.number(src, dst), *numbers.values())
        time_ns = kept["time_ns"].to_numpy()
        order = np.argsort(keys, kind="stable")
        self._keys = _distinct(keys[order])
        self._times = time_ns
        self._time_ns = time_ns[order]
        self._ranked = self._rank(lookup(self._keys, keys), time_ns)[order]
        known = [owners[name] for name in ids.to_pylist()]
        self._owner = np.array([o.number for o in known], dtype=np.int64)[code][order]
        self._stop_ns = np.array([o.stop_ns for o in known], dtype=np.int64)[code][order]

    def __len__(self) -> int:
        return len(self._owner)

    def owners_of(self, flows: FlowKeys, *, clock_ns: int, linger_ns: int) -> Int64s:
        """The number of each flow's owner; -1 where the openings do not name one."""
        forth = self._latest(flows, clock_ns, linger_ns)
        back = self._latest(flows.swapped(), clock_ns, linger_ns)
        padded_times = np.append(self._time_ns, np.iinfo(np.int64).min)
        row = np.where(padded_times[back] > padded_times[forth], back, forth)
        return np.append(self._owner, -1)[row]

    def _rank(self, group: Int64s, time_ns: Int64s) -> Int64s:
        """Group and time in one number, in that order."""
        place = np.searchsorted(self._times, time_ns, side="right")
        return group * (len(self._times) + 1) + place

    def _latest(self, flows: FlowKeys, clock_ns: int, linger_ns: int) -> Int64s:
        """Row of the latest fitting event of each flow's 5-tuple; -1 where there is none."""
        pair = self._pairs.number(flows.src_ip, flows.dst_ip)
        group = lookup(self._keys, pack(pair, flows.protocol, flows.src_port, flows.dst_port))
        wanted = self._rank(group, flows.first_ns + clock_ns)
        row = np.searchsorted(self._ranked, wanted, side="right").astype(np.int64) - 1
        row = np.where(group < 0, -1, row)
        ranked = np.append(self._ranked, -1)[row]
        stop_ns = np.append(self._stop_ns, 0)[row]
        alive = flows.first_ns <= stop_ns + linger_ns
        same = ranked // (len(self._times) + 1) == group
        return np.where(alive & same, row, np.int64(-1))
