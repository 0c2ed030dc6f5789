"""Flow tables as text: CSV and JSON Lines. What is unknown (NaN) is an empty field, or null."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pyarrow.csv as pa_csv


class CsvSink:
    """Comma-separated values with a header line.

    A sequence is one field, its numbers separated by spaces. Text is quoted, numbers are not.
    """

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        import pyarrow.csv as pa_csv

        flat = [pa.field(f.name, pa.string() if _is_list(f.type) else f.type) for f in schema]
        self._schema = pa.schema(flat)
        options = pa_csv.WriteOptions(quoting_style="needed", quoting_header="none")
        self._writer: pa_csv.CSVWriter = pa_csv.CSVWriter(
            stream, self._schema, write_options=options
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows."""
        columns = [_plain(column) for column in batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        """Nothing is left to write, the stream stays open."""
        self._writer.close()


class JsonLinesSink:
    """One JSON object for each flow and line; sequences are arrays."""

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self._stream = stream
        self._heads = [
            ("{" if number == 0 else ",") + json.dumps(name, ensure_ascii=False) + ":"
            for number, name in enumerate(schema.names)
        ]

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows."""
        import pyarrow.compute as pc

        if not batch.num_rows:
            return
        pieces: list[object] = []
        for head, column in zip(self._heads, batch.columns, strict=True):
            pieces += [head, _json(column)]
        lines = pc.binary_join_element_wise(*pieces, "}\n", "").cast(pa.large_string())
        # The texts of an array lie one after the other: they are the file already.
        offsets = np.frombuffer(lines.buffers()[1], np.int64)
        begin, end = int(offsets[lines.offset]), int(offsets[lines.offset + len(lines)])
        self._stream.write(memoryview(lines.buffers()[2])[begin:end])

    def close(self) -> None:
        """Nothing is left to write, the stream stays open."""


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind))


def _known(column: pa.Array) -> pa.Array:
    """The column with null for what is not a finite number."""
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def _joined(column: pa.Array, texts: pa.Array, separator: str) -> pa.Array:
    """Each list of ``column`` as one text; ``texts`` are its flattened values."""
    import pyarrow.compute as pc

    lengths = np.from_dlpack(pc.fill_null(pc.list_value_length(column), 0))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), separator)


def _plain(column: pa.Array) -> pa.Array:
    """A column as CSV shows it."""
    if not _is_list(column.type):
        return _known(column)
    values = _known(column.flatten()).cast(pa.string())
    return _joined(column, values.fill_null(""), " ")


def _json(column: pa.Array) -> pa.Array:
    """A column as texts, each a JSON value."""
    import pyarrow.compute as pc

    kind = column.type
    if _is_list(kind):
        inside = _joined(column, _json(column.flatten()), ",")
        return pc.binary_join_element_wise("[", inside, "]", "")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _known(column).cast(pa.string()).fill_null("null")
    # Anything else is rare or repeats: each distinct value is written once.
    encoded = column.dictionary_encode(null_encoding="encode")
    texts = [json.dumps(value, ensure_ascii=False) for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)
