"""What the kernel saw, joined with flows: which activity really opened each one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from launcher.rundir import EVIDENCE, read_evidence
from tagger.flows import FlowKeys, Int64s
from tagger.keys import AddressPairs, lookup, pack

EVENTS: Final = pa.schema(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("protocol", pa.int64(), nullable=False),
        pa.field("src", pa.string(), nullable=False),
        pa.field("sport", pa.int64(), nullable=False),
        pa.field("dst", pa.string(), nullable=False),
        pa.field("dport", pa.int64(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("activity", pa.string()),
        pa.field("second", pa.string()),
    ]
)
"""The columns of an evidence file: `launcher.records.EvidenceRecord` as a table."""

LATE_NS: Final = 5_000_000_000
"""A packet of no flow has the time at which a busy launcher read of it: its own may be earlier."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An activity or service that may own flows: until when it lived, and its number."""

    number: int
    stop_ns: int
    serves: bool = False


def read_events(run_dir: Path) -> pa.Table:
    """The kernel's events of a run as a table, empty where the run has none.

    Raises
    ------
    InputError
        The file is damaged; the error names the line.
    """
    path = run_dir / EVIDENCE
    if not path.is_file() or path.stat().st_size == 0:
        return EVENTS.empty_table()
    try:
        options = json.ParseOptions(explicit_schema=EVENTS, unexpected_field_behavior="error")
        table = json.read_json(path, parse_options=options)
        if not any(table[field.name].null_count for field in EVENTS if not field.nullable):
            return table
    except pa.ArrowInvalid:
        pass  # the careful reader below knows the line
    records = [record.model_dump() for record in read_evidence(run_dir)]
    return pa.Table.from_pylist(records, schema=EVENTS)


def _distinct(ascending: Int64s) -> Int64s:
    return np.asarray(ascending[np.diff(ascending, prepend=-1) != 0], dtype=np.int64)


class Testimony:
    """Finds the owner of flows in all that the kernel said of one run.

    That is the activity that opened the flow; else the one that accepted it, when a server calls
    its client back; else the service that opened it.

    Parameters
    ----------
    table
        The run's evidence, with the columns of `EVENTS`.
    owners
        By activity or service id.
    """

    def __init__(self, table: pa.Table, owners: Mapping[str, Owner]) -> None:
        activities = {name: owner for name, owner in owners.items() if not owner.serves}
        services = {name: owner for name, owner in owners.items() if owner.serves}
        accepted = pc.equal(table["role"], "accepted")
        opened, answered = table.filter(pc.invert(accepted)), table.filter(accepted)
        packets = table.filter(pc.equal(table["role"], "packet"))
        self._indices = (
            (EvidenceIndex(opened, activities), 0),
            (EvidenceIndex(answered, activities), 0),
            (EvidenceIndex(opened, services), 0),
            (EvidenceIndex(packets, activities), LATE_NS),
        )

    def __len__(self) -> int:
        return sum(len(index) for index, _ in self._indices)

    def owners_of(self, flows: FlowKeys, *, clock_ns: int, linger_ns: int) -> Int64s:
        """The number of each flow's owner; -1 where the kernel does not name one."""
        found = np.full(len(flows), -1, dtype=np.int64)
        for index, late_ns in self._indices:
            if len(index):
                said = index.owners_of(flows, clock_ns=clock_ns + late_ns, linger_ns=linger_ns)
                found = np.where(found < 0, said, found)
        return found


class EvidenceIndex:
    """Finds the owner of flows in the kernel's events of one run.

    The kernel reports a connection once, when it begins. So the event of a flow is the latest one
    of its 5-tuple (either way round) that is no later than the flow's first packet plus the clock
    tolerance, provided its owner still lived then, give or take the linger.

    Parameters
    ----------
    table
        The run's evidence, with the columns of `EVENTS`.
    owners
        By activity or service id; events of others are left out.
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
        """The number of each flow's owner; -1 where the kernel's events do not name one."""
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
