"""Flow tables as Parquet, written row group by row group.

Numbers are written plain: a dictionary of them costs more than the rest of the meter, and LZ4
finds most of what it would save. Addresses and names, which repeat, have one. Ids are left as they
are, as no two have anything in common.
"""

from __future__ import annotations

from typing import BinaryIO, Final, Literal, get_args

import pyarrow as pa

from topologies.errors import InputError, Problem

Compression = Literal["lz4", "zstd", "snappy", "none"]
COMPRESSIONS: Final[tuple[Compression, ...]] = get_args(Compression)
ROW_GROUP_ROWS: Final = 16_384
# Above any column of a row group: where pages end would else depend on how rows came in.
PAGE_BYTES: Final = 1 << 30
UNIQUE: Final = ("flow_id", "origin_id")


class ParquetSink:
    """Writes batches into row groups of 16,384 rows, whatever the size of the batches.

    The same rows give the same bytes however they are cut into batches. Statistics are kept of end
    points and times only, by which a reader can skip row groups.
    """

    def __init__(
        self, stream: BinaryIO, schema: pa.Schema, *, compression: Compression = "lz4"
    ) -> None:
        import pyarrow.parquet as pq

        if compression not in COMPRESSIONS:
            raise InputError(
                Problem(
                    "flow meter settings",
                    path="compression",
                    expected=" or ".join(COMPRESSIONS),
                    got=repr(compression),
                    remedy="choose one of those",
                )
            )
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._writer = pq.ParquetWriter(
            stream,
            schema,
            compression={
                _path(field): "none" if field.name in UNIQUE else compression for field in schema
            },
            use_dictionary=[
                field.name
                for field in schema
                if pa.types.is_string(field.type) and field.name not in UNIQUE
            ],
            write_statistics=[field.name for field in schema if _role(field) in ("key", "time")],
            data_page_size=PAGE_BYTES,
            write_batch_size=ROW_GROUP_ROWS,
            memory_pool=pa.system_memory_pool(),  # takes less of it than Arrow's own, and less time
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Take the batch; write what fills a row group."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        while self._rows >= ROW_GROUP_ROWS:
            self._write_group(ROW_GROUP_ROWS)

    def close(self) -> None:
        """Write the rest and the footer."""
        if self._rows:
            self._write_group(self._rows)
        self._writer.close()

    def _write_group(self, rows: int) -> None:
        table = pa.Table.from_batches(self._waiting, self._waiting[0].schema)
        self._writer.write_table(table.slice(0, rows), row_group_size=ROW_GROUP_ROWS)
        self._waiting = table.slice(rows).to_batches()
        self._rows -= rows


def _path(field: pa.Field) -> str:
    """Where Parquet keeps the column's values."""
    return f"{field.name}.list.element" if pa.types.is_nested(field.type) else str(field.name)


def _role(field: pa.Field) -> str:
    role: bytes = (field.metadata or {}).get(b"role", b"")
    return role.decode()
