"""CSV and ARFF: every packet of a sequence is a column of its own, numbered from 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tagger.export.rows import Rows
from tagger.rulebook import AMBIGUOUS, UNLABELLED
from tagger.summary import SPLIT_ORDER

ESCAPES: Final = (("\\", "\\\\"), ("'", "\\'"), ('"', '\\"'), ("%", "\\%"), ("\n", "\\n"),
                  ("\r", "\\r"), ("\t", "\\t"))  # fmt: skip
"""Of quoted ARFF texts; the backslash first."""


def write_csv(rows: Rows, target: Path) -> int:
    """RFC 4180, UTF-8, with a header; a missing text is nothing, an empty one is ``""``."""
    schema, count = _flat_schema(rows.schema), 0
    with csv.CSVWriter(target, schema) as writer:
        for table in rows.batches():
            writer.write_table(pa.table(list(_flat(table)), schema=schema))
            count += table.num_rows
    return count


def write_arff(rows: Rows, target: Path) -> int:
    """Weka's format; labels and splits are nominal, what is missing or not finite is ``?``."""
    count = 0
    with target.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f"@relation {quoted(rows.summary.name)}\n\n")
        for field in _flat_schema(rows.schema):
            stream.write(f"@attribute {quoted(field.name)} {_kind(field, rows)}\n")
        stream.write("\n@data\n")
        for table in rows.batches():
            texts = [_texts(column) for column in _flat(table)]
            lines = pc.binary_join_element_wise(*texts, ",")
            stream.writelines(f"{line}\n" for line in lines.to_pylist())
            count += table.num_rows
    return count


def quoted(text: str) -> str:
    """A text as ARFF takes it anywhere."""
    for character, escape in ESCAPES:
        text = text.replace(character, escape)
    return f"'{text}'"


def _kind(field: pa.Field, rows: Rows) -> str:
    vocabulary = rows.summary.vocabulary
    nominal: list[str] | None = {
        "label": [*vocabulary, UNLABELLED, AMBIGUOUS],
        "category": list({one.category: None for one in vocabulary.values()}),
        "split": [str(split) for split in SPLIT_ORDER],
    }.get(field.name)
    if pa.types.is_boolean(field.type):
        return "{false,true}"
    if nominal is not None:
        return f"{{{','.join(quoted(value) for value in nominal)}}}"
    return "string" if pa.types.is_string(field.type) else "numeric"


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One text for each value, as it stands in a line of ARFF data."""
    if pa.types.is_string(column.type):
        for character, escape in ESCAPES:
            column = pc.replace_substring(column, character, escape)
        column = pc.binary_join_element_wise("'", column, "'", "")
    elif pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None).cast(pa.string())
    else:
        column = column.cast(pa.string())
    return pc.fill_null(column, "?")


# -- sequences ---------------------------------------------------------------------------------


def _flat_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([flat for field in schema for flat in _flat_fields(field)])


def _flat_fields(field: pa.Field) -> Iterator[pa.Field]:
    if not pa.types.is_fixed_size_list(field.type):
        yield field
        return
    for place in range(field.type.list_size):
        yield pa.field(f"{field.name}_{place}", field.type.value_type, metadata=field.metadata)


def _flat(table: pa.Table) -> Iterator[pa.ChunkedArray]:
    for column in table.columns:
        if not pa.types.is_fixed_size_list(column.type):
            yield column
            continue
        for place in range(column.type.list_size):
            yield pc.list_element(column, place)
