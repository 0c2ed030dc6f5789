"""Opens the file, or standard output, that a flow table goes to; the name says the format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol, cast, get_args

import pyarrow as pa

from flowmeter.output.parquet import Compression, ParquetSink
from flowmeter.output.text import CsvSink, JsonLinesSink
from topologies.errors import InputError, Problem
from topologies.files import replacing

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
STANDARD_OUTPUT: Final = Path("-")


class Sink(Protocol):
    """What a format does with batches."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch; it need not all be in the stream yet."""

    def close(self) -> None:
        """Write what is left; the stream stays open."""


class FlowWriter:
    """Takes batches and counts their ``rows``."""

    def __init__(self, sink: Sink, stream: BinaryIO, *, at_once: bool) -> None:
        self.rows = 0
        self._sink, self._stream, self._at_once = sink, stream, at_once

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch that has the writer's schema."""
        self.rows += batch.num_rows
        self._sink.write(batch)
        if self._at_once:
            self._stream.flush()


@contextmanager
def open_writer(
    path: Path,
    schema: pa.Schema,
    *,
    form: Format | None = None,
    compression: Compression = "lz4",
) -> Iterator[FlowWriter]:
    """Write batches of ``schema`` as they come.

    A file appears under its name when the context ends well, and not at all otherwise; standard
    output gets each batch at once.

    Parameters
    ----------
    path
        ``-`` is standard output.
    form
        Default is what the name ends with: ``.parquet``, ``.csv`` or ``.jsonl``.
    compression
        Of Parquet.

    Raises
    ------
    InputError
        The name does not tell the format, or nothing can be written there.

    Examples
    --------
    >>> with flows(Path("day.pcap")) as stream:                         # doctest: +SKIP
    ...     with open_writer(Path("day.csv"), stream.schema) as writer:
    ...         for batch in stream:
    ...             writer.write(batch)
    """
    chosen = form or file_format(path)
    with _target(path) as stream:
        sink: Sink
        if chosen == "parquet":
            sink = ParquetSink(stream, schema, compression=compression)
        else:
            sink = (CsvSink if chosen == "csv" else JsonLinesSink)(stream, schema)
        try:
            yield FlowWriter(sink, stream, at_once=path == STANDARD_OUTPUT)
        finally:
            sink.close()


def file_format(path: Path) -> Format:
    """The format that a file's name asks for.

    Raises
    ------
    InputError
        It asks for none that is written.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix in FORMATS:
        return suffix
    name = "standard output" if path == STANDARD_OUTPUT else repr(path.name)
    raise InputError(
        Problem(
            str(path),
            path="",
            expected="a name that ends with " + ", ".join(f".{form}" for form in FORMATS),
            got=name,
            remedy="name the file so, or say the format: --format " + "|".join(FORMATS),
        )
    )


@contextmanager
def _target(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD_OUTPUT:
        stream = cast(BinaryIO, _Counted(sys.stdout.buffer))
        yield stream
        stream.flush()
        return
    with ExitStack() as stack:
        try:
            if path.is_dir():
                raise IsADirectoryError(21, "a folder of that name")
            temporary = stack.enter_context(replacing(path))
            opened = stack.enter_context(temporary.open("wb"))
        except OSError as error:
            raise InputError(
                Problem(
                    str(path),
                    path="",
                    expected="a file that can be written",
                    got=error.strerror or str(error),
                    remedy="name another file",
                )
            ) from error
        yield opened


class _Counted:
    """A stream that knows its position though it cannot seek: Parquet's footer needs it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._position = stream, 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._position += len(data)
        return self._stream.write(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Leave the stream open: it is the process's."""
