"""Evidence of the second kind: when and where an activity ran that sends frames by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from launcher.records import WindowRecord
from launcher.rundir import WINDOWS
from tagger.flows import KERNELS_OWN, Bools, FlowKeys, Int64s
from tagger.targets import Tolerances
from topologies.errors import InputError, Problem


def read_windows(run_dir: Path) -> tuple[WindowRecord, ...]:
    """The windows of a run; most runs have none.

    Raises
    ------
    InputError
        The file is damaged; the error names the line.
    """
    path = run_dir / WINDOWS
    if not path.is_file():
        return ()
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            records.append(WindowRecord.model_validate_json(line))
        except ValueError as error:
            remedy = "the run is damaged: run it again"
            problem = Problem(str(path), "", "a window record", "another text", remedy, number)
            raise InputError(problem) from error
    return tuple(records)


class Windows:
    """Finds flows that can only be of one activity, by its host's addresses and its time.

    Not those of the kernel, which sends its errors then as at any other time.

    ``numbers`` are those of the activities, by id.
    """

    def __init__(self, records: Iterable[WindowRecord], numbers: Mapping[str, int]) -> None:
        self._records = [(record, numbers[record.activity]) for record in records]

    def owners_of(self, flows: FlowKeys, allowed: Tolerances) -> Int64s:
        """The number of each flow's activity; -1 where none fits, or more than one."""
        fitting = np.zeros(len(flows), dtype=np.int64)
        owner = np.full(len(flows), -1, dtype=np.int64)
        for record, number in self._records:
            fits = (
                _among(flows.src_ip, record.addresses)
                & (flows.first_ns >= record.start_ns - allowed.clock_ns)
                & (flows.first_ns <= record.stop_ns + allowed.clock_ns)
                & ~np.isin(flows.protocol, KERNELS_OWN)
            )
            fitting += fits
            owner[fits] = number
        return np.where(fitting == 1, owner, np.int64(-1))


def _among(addresses: pa.Array, wanted: Iterable[str]) -> Bools:
    found = pc.is_in(addresses, value_set=pa.array(list(wanted), type=pa.string()))
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)
