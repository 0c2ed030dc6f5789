"""Flows as they end, from files and live interfaces alike, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import pyarrow as pa

from flowmeter.ahead import ahead
from flowmeter.config import MeterConfig
from flowmeter.output.metadata import described
from flowmeter.pair import Pair
from flowmeter.plugins import FlowPlugin, PluginRunner, extended
from flowmeter.sources import Packets, Source, opened
from flowmeter.table import flow_schema, record_batch
from topologies.errors import GstaError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from flowmeter.core.layout import Records, Rows, Slots
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
        self._in_flows = 0
        self._pair = Pair()
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
        rows = self._rows()
        if self.config.threads > 1:
            rows = self._pair.results(rows) if self.config.threads == 2 else ahead(rows)
        for part, slots in rows:
            batch = record_batch(part, self.config, run_id=self._run_id, network=self._network)
            if self._plugins:
                self._plugins.end(slots)
                columns = [*batch.columns, *self._plugins.columns(batch.num_rows)]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
            else:
                yield batch.replace_schema_metadata(self.schema.metadata)

    def _rows(self) -> Iterator[tuple[Rows, Slots]]:
        """Finished flows in the core's layout, with the slots they had."""
        # Only who meters pays for loading the compiled core.
        from flowmeter.engine import Engine

        engine = Engine(self.config)
        with opened(self._source, self.config) as packets:
            sent = time.monotonic()
            for item in self._items(packets):
                if isinstance(item, int):
                    yield from self._ended(engine, engine.advance(item))
                else:
                    ended = engine.feed(item)
                    if self._plugins:
                        self._plugins.feed(item)
                    yield from self._ended(engine, ended)
                self.packets = engine.packets
                if packets.live and time.monotonic() - sent >= LIVE_BATCH_S:
                    sent = time.monotonic()
                    yield from self._ended(engine, engine.advance(0))
            yield from self._ended(engine, engine.finish())
            self.tails = packets.tails
        self._settle(engine)

    def _items(self, packets: Packets) -> Iterator[Records | int]:
        if self.config.threads == 1 or packets.live:
            return packets.batches()
        if self.config.threads == 2 and packets.at_hand:
            return self._pair.shared(packets.batches())
        return ahead(packets.batches())

    def _ended(self, engine: Engine, ended: Iterator[Rows]) -> Iterator[tuple[Rows, Slots]]:
        for number, rows in enumerate(ended):
            self._in_flows += int(rows.flows["packets"].sum())
            yield rows, engine.ended_slots[number]

    def _settle(self, engine: Engine) -> None:
        """Count what is in no flow; nothing may be missing."""
        from flowmeter.rejected import reject_counts

        self.packets = engine.packets + len(self.tails)
        self.rejects = reject_counts(engine.rejects, self.tails)
        if self.packets != self._in_flows + sum(self.rejects.values()):
            raise GstaError(
                f"the flow meter lost count: {self.packets} packets, {self._in_flows} in flows, "
                f"rejected {self.rejects}; this is a bug, please report it with the capture"
            )
