"""Flows as they end, from files and live interfaces alike, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import pyarrow as pa

from flowmeter.config import MeterConfig
from flowmeter.crew import Crew, alone
from flowmeter.output.metadata import described
from flowmeter.plugins import FlowPlugin, PluginRunner, extended
from flowmeter.sources import Packets, Source, opened
from flowmeter.table import flow_schema, record_batch
from topologies.errors import GstaError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from flowmeter.core.layout import Records, Rows
    from flowmeter.engine import Engine

LIVE_BATCH_S: Final = 1.0  # live rows wait for others no longer than this


def flows(
    source: Source,
    *,
    run_id: str = "",
    network: str = "",
    config: MeterConfig | None = None,
    plugins: Sequence[FlowPlugin] = (),
) -> FlowStream:
    """Meter captures that belong together, or an interface; nothing is read before iteration.

    Parameters
    ----------
    source
        A capture file (``-`` is standard input), several of one network (their packets are merged
        by time), or `flowmeter.live.Interface`.
    run_id, network
        Go into the columns of those names, and into each ``flow_id``.
    plugins
        Features of your own, see `flowmeter.plugins`.

    Raises
    ------
    InputError
        A plug-in's column has a name that is taken.

    Examples
    --------
    >>> with flows("day.pcap") as stream:                               # doctest: +SKIP
    ...     for batch in stream:
    ...         print(batch.num_rows)
    """
    return FlowStream(
        source, run_id=run_id, network=network, config=config or MeterConfig(), plugins=plugins
    )


class FlowStream:
    """Record batches of flows, in the order in which they ended; each can be had once.

    Attributes
    ----------
    schema
        Of every batch; its metadata says where the flows come from and how they were metered.
    packets
        Packet records read so far; at the end each is in exactly one flow or one reject counter.
    rejects
        At the end: packets in no flow, by reason (`reject_table`); counters at 0 are left out.
    tails
        At the end: files that break off within a packet, and how (``truncated_tail``,
        ``corrupt_tail``). Such a packet is counted as one record, and as a reject of that name.
    """

    def __init__(
        self,
        source: Source,
        *,
        run_id: str,
        network: str,
        config: MeterConfig,
        plugins: Sequence[FlowPlugin],
    ) -> None:
        self._source, self._run_id, self._network = source, run_id, network
        # Plug-ins know a flow by its slot, which is unique within one shard only.
        self.config = replace(config, threads=1) if plugins else config
        self._plugins = PluginRunner(plugins) if plugins else None
        self.schema = described(
            extended(flow_schema(config), self._plugins.fields if self._plugins else ()),
            run_id=run_id,
            networks=[network],
            config=config,
        )
        self.packets = 0
        self.rejects: dict[str, int] = {}
        self.tails: dict[str, str] = {}
        self._batches = self._run()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop: close files, end a live capture."""
        self._batches.close()

    def read_all(self) -> pa.Table:
        """The rest of the flows as one table."""
        return pa.Table.from_batches(list(self), self.schema)

    def to_pandas(self) -> pd.DataFrame:
        """The rest of the flows as a pandas table.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: F401 - asked for before the work is done
        except ImportError as error:
            raise MissingExtraError("pandas", extra="frames") from error
        frame: pd.DataFrame = self.read_all().to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """The rest of the flows as a polars table.

        Raises
        ------
        MissingExtraError
            polars is not installed.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise MissingExtraError("polars", extra="frames") from error
        frame = pl.from_arrow(self.read_all())
        if not isinstance(frame, pl.DataFrame):
            raise TypeError(f"polars made a {type(frame).__name__} of a table")
        return frame

    def _run(self) -> Generator[pa.RecordBatch]:
        # Only who meters pays for loading the compiled core.
        from flowmeter.engine import Engine

        engine = Engine(self.config)
        with opened(self._source, self.config) as packets:
            metering = _Metering(engine, self._plugins, live=packets.live)
            with closing(self._batches_of(packets, metering)) as batches:
                for batch in batches:
                    self.packets = engine.packets
                    yield batch
            self.tails = packets.tails
        self._settle(engine, metering.in_flows)

    def _batches_of(self, packets: Packets, metering: _Metering) -> Generator[pa.RecordBatch]:
        source, threads = packets.batches(), self.config.threads
        if threads > 1:
            return Crew(source, metering, self._batch, threads, waits=not packets.at_hand).tables()
        return alone(source, metering, self._batch)

    def _batch(self, rows: Rows) -> pa.RecordBatch:
        batch = record_batch(rows, self.config, run_id=self._run_id, network=self._network)
        if self._plugins is None:
            return batch.replace_schema_metadata(self.schema.metadata)
        self._plugins.end(rows.slots)
        columns = [*batch.columns, *self._plugins.columns(batch.num_rows)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _settle(self, engine: Engine, in_flows: int) -> None:
        """Count what is in no flow; nothing may be missing."""
        from flowmeter.rejected import reject_counts

        self.packets = engine.packets + len(self.tails)
        self.rejects = reject_counts(engine.rejects, self.tails)
        if self.packets != in_flows + sum(self.rejects.values()):
            raise GstaError(
                f"the flow meter lost count: {self.packets} packets, {in_flows} in flows, "
                f"rejected {self.rejects}; this is a bug, please report it with the capture"
            )


class _Metering:
    """An engine as a crew's work; what comes to it is packets, or what time (ns) it is.

    Attributes
    ----------
    in_flows
        Packets in the flows that ended so far.
    """

    def __init__(self, engine: Engine, plugins: PluginRunner | None, *, live: bool) -> None:
        self._engine, self._plugins, self._live = engine, plugins, live
        self._sent = time.monotonic()
        self.shards = engine.shards
        self.in_flows = 0

    def feed_shard(self, number: int, item: Records | int) -> None:
        if not isinstance(item, int):
            self._engine.feed_shard(number, item)

    def fed(self, item: Records | int) -> Iterator[Rows]:
        if isinstance(item, int):
            yield from self._counted(self._engine.advance(item))
        else:
            if self._plugins:
                self._plugins.feed(item)
            yield from self._counted(self._engine.fed(item))
        if self._live and time.monotonic() - self._sent >= LIVE_BATCH_S:
            self._sent = time.monotonic()
            yield from self._counted(self._engine.advance(0))

    def finish(self) -> Iterator[Rows]:
        yield from self._counted(self._engine.finish())

    def _counted(self, ended: Iterator[Rows]) -> Iterator[Rows]:
        for rows in ended:
            self.in_flows += int(rows.flows["packets"].sum())
            yield rows
