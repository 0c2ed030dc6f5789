"""What the kernel saw, joined with flows: which activity really opened each one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from launcher.rundir import EVIDENCE, read_evidence
from tagger.flows import FlowKeys, Int64s
from tagger.openings import OpeningIndex, Owner

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
            (OpeningIndex(opened, activities), 0),
            (OpeningIndex(answered, activities), 0),
            (OpeningIndex(opened, services), 0),
            (OpeningIndex(packets, activities), LATE_NS),
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
