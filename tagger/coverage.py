"""How much of a run the evidence covers, and whether kernel and capture counted the same.

Pure: over flow keys, their packets and owners, and the kernel's records of ended flows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from launcher.rundir import ENDS
from tagger.agreement import Coverage
from tagger.flows import KERNELS_OWN, Bools, FlowKeys, Int64s
from tagger.keys import AddressPairs, lookup, pack
from topologies.errors import InputError, Problem

ENDED: Final = pa.schema(
    [
        *(pa.field(name, pa.int64()) for name in ("start_ns", "time_ns", "protocol")),
        pa.field("src", pa.string()),
        pa.field("sport", pa.int64()),
        pa.field("dst", pa.string()),
        pa.field("dport", pa.int64()),
        pa.field("packets", pa.int64()),
        pa.field("reply_packets", pa.int64()),
    ]
)
"""What is read of `launcher.records.FlowEndRecord`."""

_NAMES: Final = {6: "tcp", 17: "udp", 132: "sctp"}


def read_ends(run_dir: Path) -> pa.Table:
    """The kernel's records of ended flows of a run; empty where it has none.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = run_dir / ENDS
    if not path.is_file() or path.stat().st_size == 0:
        return ENDED.empty_table()
    options = json.ParseOptions(explicit_schema=ENDED, unexpected_field_behavior="ignore")
    try:
        return json.read_json(path, parse_options=options)
    except pa.ArrowInvalid as error:
        remedy = "the run is damaged: run it again"
        problem = Problem(str(path), "", "records of ended flows", str(error), remedy)
        raise InputError(problem) from error


def coverage_of(
    flows: FlowKeys, packets: Int64s | None, owners: Int64s, *, by_window: Bools, ends: pa.Table
) -> Coverage:
    """What the evidence knows of some flows.

    Parameters
    ----------
    packets
        Of each flow, both ways; None where the flow table does not tell.
    owners
        The number of each flow's owner; -1 where the evidence does not tell.
    by_window
        Where the kernel did not say so itself.
    ends
        With the columns of `ENDED`.
    """
    known = owners >= 0
    made = known | ~np.isin(flows.protocol, KERNELS_OWN)
    missing = flows.protocol[made & ~known]
    unseen = Counter(_NAMES.get(number, str(number)) for number in missing.tolist())
    compared, equal = (0, 0) if packets is None else _compare(flows, packets, ends)
    return Coverage(
        flows=int(made.sum()),
        known=int(known.sum()),
        by_window=int((known & by_window).sum()),
        unseen=dict(sorted(unseen.items())),
        compared=compared,
        equal=equal,
    )


def _compare(flows: FlowKeys, packets: Int64s, ends: pa.Table) -> tuple[int, int]:
    """How many flows of the kernel's were captured, and how many with as many packets.

    Only 5-tuples with ports that the kernel saw once: which packets are whose needs no guess then.
    """
    ends = ends.filter(pc.greater(ends["sport"], 0))
    src, dst = (ends[name].combine_chunks().cast(pa.string()) for name in ("src", "dst"))
    protocol, sport, dport = (ends[name].to_numpy() for name in ("protocol", "sport", "dport"))
    pairs = AddressPairs(src, dst)
    keys = pack(pairs.number(src, dst), protocol, sport, dport)
    known, first, times = np.unique(keys, return_index=True, return_counts=True)
    captured = np.zeros(len(known) + 1, dtype=np.int64)
    for way in (flows, flows.swapped()):
        pair = pairs.number(way.src_ip, way.dst_ip)
        place = lookup(known, pack(pair, way.protocol, way.src_port, way.dst_port))
        np.add.at(captured, place, np.where(place < 0, 0, packets))
    counted = (ends["packets"].to_numpy() + ends["reply_packets"].to_numpy())[first]
    compared = (times == 1) & (captured[:-1] > 0)
    return int(compared.sum()), int((compared & (captured[:-1] == counted)).sum())
