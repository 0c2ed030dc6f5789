"""The columns of a flow table that labelling needs: identity, key and time.

A feature is read only where a rule asks for it by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
Floats = npt.NDArray[np.float64]

TEXTS: Final = ("flow_id", "run_id", "network", "src_ip", "dst_ip")
NUMBERS: Final = ("src_port", "dst_port", "protocol", "first_ns", "last_ns")

KERNELS_OWN: Final = (1, 2, 58, 89)
"""ICMP, IGMP, ICMPv6 and OSPF: errors, memberships, neighbours and routes are of no activity."""


@dataclass(frozen=True, slots=True)
class FlowKeys:
    """Who talked to whom and when, one entry per row of the flow table.

    Texts are Arrow string arrays, numbers int64 arrays; times are nanoseconds of real time.
    ``features`` are only those that some rule asks for.
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
    features: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.flow_id)

    def take(self, rows: Int64s) -> Self:
        """The flows of some rows, in that order."""
        texts = {
            name: getattr(self, name).take(pa.array(rows)) for name in TEXTS if name != "run_id"
        }
        numbers = {name: getattr(self, name)[rows] for name in NUMBERS}
        features = {name: values[rows] for name, values in self.features.items()}
        return replace(self, **texts, **numbers, features=features)

    def at(self, time_ns: Int64s) -> Self:
        """The same flows as if they had begun and ended at one moment each."""
        return replace(self, first_ns=time_ns, last_ns=time_ns)

    def swapped(self) -> Self:
        """The same flows seen from the other end."""
        return replace(
            self,
            src_ip=self.dst_ip,
            dst_ip=self.src_ip,
            src_port=self.dst_port,
            dst_port=self.src_port,
        )


def read_flow_keys(
    path: Path, *, run_id: str | None, features: Iterable[str] = (), if_there: Iterable[str] = ()
) -> FlowKeys:
    """Read the key columns of one run's flow table, and some features.

    Parameters
    ----------
    run_id
        Whose flows they must be; None is anybody's.
    features, if_there
        Columns that are needed, and columns that may be missing.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        It is no flow table, it is the table of another run, or it lacks a feature.
    """
    schema = read_flow_schema(path)
    _check_columns(path, schema, features)
    numbers = sorted({*features, *(name for name in if_there if name in schema.names)})
    with pq.ParquetFile(path) as file:
        table = file.read(columns=[*TEXTS, *NUMBERS, *numbers])
    _check_values(path, table, run_id)
    return FlowKeys(
        **{name: _text(table[name]) for name in TEXTS if name != "run_id"},
        **{name: table[name].to_numpy().astype(np.int64) for name in NUMBERS},
        features={name: table[name].to_numpy().astype(np.float64) for name in numbers},
    )


def _check_columns(path: Path, schema: pa.Schema, features: Iterable[str]) -> None:
    missing = [name for name in (*TEXTS, *NUMBERS) if name not in schema.names]
    if missing:
        got, remedy = f"a table without {', '.join(missing)}", "make it with the flow meter"
        raise InputError(Problem(str(path), "", "a flow table", got, remedy))
    unknown = [
        name
        for name in features
        if name not in schema.names or not _is_number(schema.field(name).type)
    ]
    if unknown:
        raise InputError(
            Problem(
                str(path),
                unknown[0],
                "the flow features that the rules ask for, as numbers",
                f"a table without {', '.join(unknown)}",
                "`gsta meter --list-features` tells the names; meter with the set that has them",
            )
        )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _check_values(path: Path, table: pa.Table, run_id: str | None) -> None:
    for name in (*TEXTS, *NUMBERS):
        if table[name].null_count:
            got = f"{table[name].null_count} rows without one"
            remedy = "make it with the flow meter"
            raise InputError(Problem(str(path), name, "a value in every row", got, remedy))
    other = [name for name in pc.unique(table["run_id"]).to_pylist() if name != run_id]
    if other and run_id is not None:
        raise InputError(
            Problem(
                str(path),
                "run_id",
                f"flows of run '{run_id}'",
                f"flows of run '{other[0]}'",
                "give each run the flow table that was made from it",
            )
        )


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
