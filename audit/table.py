"""Reads CSV and Parquet files with flows that somebody else made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from audit.mapping import Mapping
from topologies.errors import InputError, NotFoundError, Problem


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Columns of a table in memory."""

    table: pa.Table

    def column(self, name: str) -> pa.ChunkedArray:
        """One column."""
        return self.table[name]


def read_table(path: Path, mapping: Mapping) -> pa.Table:
    """Read one file; numbers are numbers, everything else is text, unknown values are null.

    Names lose the blanks around them; of names that occur twice the second gets ``.1``.

    Raises
    ------
    NotFoundError, InputError
        The file is not there or is no such table; it has no rows.
    """
    if not path.is_file():
        raise NotFoundError(
            Problem(str(path), "", "a CSV or Parquet file", "none", "check the path")
        )
    try:
        table = pq.read_table(path) if _is_parquet(path) else _read_csv(path, mapping)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeError, LookupError) as error:
        got = str(error).splitlines()[0]
        raise InputError(
            Problem(str(path), "", "a table of flows", got, "check delimiter, header and encoding")
        ) from error
    if not len(table):
        raise InputError(
            Problem(str(path), "", "one flow or more", "none", "is it the right file?")
        )
    table = table.rename_columns(_distinct([name.strip() for name in table.column_names]))
    return pa.table(
        {name: _cleaned(table[name], mapping) for name in table.column_names if len(name)}
    )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _read_csv(path: Path, mapping: Mapping) -> pa.Table:
    read = pacsv.ReadOptions(
        encoding=mapping.encoding,
        column_names=list(mapping.header) or None,
    )
    parse = pacsv.ParseOptions(delimiter=mapping.delimiter)
    nulls = ["", *mapping.missing]
    return pacsv.read_csv(
        path, read, parse, pacsv.ConvertOptions(null_values=nulls, strings_can_be_null=True)
    )


def _distinct(names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def _cleaned(column: pa.ChunkedArray, mapping: Mapping) -> pa.ChunkedArray:
    """Numbers as they are or as doubles; text, where it is no number, as it is."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8())
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _as_numbers(column.cast(pa.string()), mapping)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column
    if pa.types.is_temporal(kind):
        return column.cast(pa.string())
    if pa.types.is_null(kind):
        return column.cast(pa.float64())
    return column.cast(pa.string())


def _as_numbers(column: pa.ChunkedArray, mapping: Mapping) -> pa.ChunkedArray:
    """A column of text as doubles, if each value is a number with one of the suffixes or none."""
    plain = pc.utf8_trim_whitespace(column)
    plain = pc.if_else(pc.is_in(plain, pa.array(["", *mapping.missing])), None, plain)
    factor = pa.scalar(1.0)
    for suffix, worth in mapping.suffixes.items():
        ends = pc.ends_with(plain, suffix)
        factor = pc.if_else(ends, worth, factor)
        cut = pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(plain, 0, -len(suffix)))
        plain = pc.if_else(ends, cut, plain)
    try:
        numbers = pc.multiply(plain.cast(pa.float64()), factor)
    except pa.ArrowInvalid:
        return column
    return column if numbers.null_count == len(numbers) else numbers
