"""The columns of a flow table that labelling needs: identity, key and time. No feature is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from topologies.errors import InputError, NotFoundError, Problem

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

TEXTS: Final = ("flow_id", "run_id", "network", "src_ip", "dst_ip")
NUMBERS: Final = ("src_port", "dst_port", "protocol", "first_ns", "last_ns")


@dataclass(frozen=True, slots=True)
class FlowKeys:
    """Who talked to whom and when, one entry per row of the flow table.

    Texts are Arrow string arrays, numbers int64 arrays; times are nanoseconds of real time.
    """

    flow_id: pa.Array
    network: pa.Array
    src_ip: pa.Array
    dst_ip: pa.Array
    src_port: Int64s
    dst_port: Int64s
    protocol: Int64s
    first_ns: Int64s
    last_ns: Int64s

    def __len__(self) -> int:
        return len(self.flow_id)

    def take(self, rows: Int64s) -> Self:
        """The flows of some rows, in that order."""
        return type(self)(
            *(getattr(self, name).take(pa.array(rows)) for name in TEXTS if name != "run_id"),
            *(getattr(self, name)[rows] for name in NUMBERS),
        )

    def swapped(self) -> Self:
        """The same flows seen from the other end."""
        return type(self)(
            self.flow_id,
            self.network,
            self.dst_ip,
            self.src_ip,
            self.dst_port,
            self.src_port,
            self.protocol,
            self.first_ns,
            self.last_ns,
        )


def read_flow_keys(path: Path, *, run_id: str) -> FlowKeys:
    """Read the key columns of one run's flow table.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        It is no flow table, or it is the table of another run.
    """
    schema = read_flow_schema(path)
    missing = [name for name in (*TEXTS, *NUMBERS) if name not in schema.names]
    if missing:
        raise InputError(
            Problem(
                str(path),
                "",
                "a flow table",
                f"a table without {', '.join(missing)}",
                "make it with the flow meter",
            )
        )
    with pq.ParquetFile(path) as file:
        table = file.read(columns=[*TEXTS, *NUMBERS])
    for name in (*TEXTS, *NUMBERS):
        if table[name].null_count:
            raise InputError(
                Problem(
                    str(path),
                    name,
                    "a value in every row",
                    f"{table[name].null_count} rows without one",
                    "make it with the flow meter",
                )
            )
    other = [name for name in pc.unique(table["run_id"]).to_pylist() if name != run_id]
    if other:
        raise InputError(
            Problem(
                str(path),
                "run_id",
                f"flows of run '{run_id}'",
                f"flows of run '{other[0]}'",
                "give each run the flow table that was made from it",
            )
        )
    texts = {name: _text(table[name]) for name in TEXTS if name != "run_id"}
    numbers = {name: table[name].to_numpy().astype(np.int64) for name in NUMBERS}
    return FlowKeys(**texts, **numbers)


def read_packets(path: Path) -> Int64s | None:
    """Packets of each flow, both ways; None if the table was made without them."""
    names = ["c2s_packets", "s2c_packets"]
    if not set(names) <= set(read_flow_schema(path).names):
        return None
    with pq.ParquetFile(path) as file:
        table = file.read(columns=names)
    there, back = (table[name].to_numpy().astype(np.int64) for name in names)
    both: Int64s = there + back
    return both


def read_flow_schema(path: Path) -> pa.Schema:
    """The schema of a Parquet file, with its fields' metadata."""
    try:
        return pq.read_schema(path)
    except FileNotFoundError as error:
        raise NotFoundError(
            Problem(str(path), "", "a flow table", "no file", "check the path")
        ) from error
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            Problem(str(path), "", "a Parquet file", "another one", "make it with the flow meter")
        ) from error


def _text(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(pa.string())
