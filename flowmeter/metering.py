"""Captures to a flow table, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flowmeter.config import MeterConfig
from flowmeter.table import flow_table
from topologies.errors import GstaError

if TYPE_CHECKING:
    import pyarrow as pa

    from flowmeter.capture import CaptureReader
    from flowmeter.engine import Engine


@dataclass(frozen=True, slots=True)
class MeterResult:
    """What came out of captures.

    Attributes
    ----------
    table
        One row per flow, columns as `flow_schema` says, ordered by ``first_ns``, then key.
    packets
        Packet records in the captures; each is in exactly one flow or one reject counter.
    rejects
        Packets in no flow, by reason (`reject_table`); counters at 0 are left out.
    """

    table: pa.Table
    packets: int
    rejects: dict[str, int]


def meter(
    captures: Sequence[Path] | Path,
    *,
    run_id: str = "",
    network: str = "",
    config: MeterConfig | None = None,
) -> MeterResult:
    """Meter capture files that belong together; their packets are merged by time.

    Parameters
    ----------
    captures
        pcap or pcapng, plain or gzip. The parts of a rotated capture are one network's.
    run_id, network
        Go into the columns of those names, and into each ``flow_id``.

    Raises
    ------
    CaptureError
        A file is no capture, or is broken half-way; names the byte offset.
    InputError, NotFoundError
        A file cannot be read, or is not there.
    """
    # The compiled core costs half a second to load: only who meters pays for it.
    from flowmeter.capture import CaptureReader, merged
    from flowmeter.engine import Engine

    config = config or MeterConfig()
    paths = [captures] if isinstance(captures, Path) else list(captures)
    readers = [CaptureReader(path, corrupt=config.corrupt) for path in paths]
    engine = Engine(config)
    parts = [rows for batch in merged(readers) for rows in engine.feed(batch)]
    parts += engine.finish()
    table = flow_table(parts, run_id=run_id, network=network)
    rejects = _rejects(engine, readers)
    packets = engine.packets + sum(reader.tail != "" for reader in readers)
    in_flows = sum(int(rows.flows["packets"].sum()) for rows in parts)
    if packets != in_flows + sum(rejects.values()):
        raise GstaError(
            f"the flow meter lost count: {packets} packets, {in_flows} in flows, rejected "
            f"{rejects}; this is a bug, please report it with the capture"
        )
    return MeterResult(table=table, packets=packets, rejects=rejects)


def reject_table() -> dict[str, str]:
    """Every reason why a packet is in no flow, and what it means."""
    from flowmeter.capture import TAILS
    from flowmeter.dissect import REJECTS

    return dict((*REJECTS[1:], *TAILS))


def _rejects(engine: Engine, readers: Sequence[CaptureReader]) -> dict[str, int]:
    from flowmeter.capture import TAILS
    from flowmeter.dissect import REJECTS

    counts = {
        name: int(count) for (name, _), count in zip(REJECTS[1:], engine.rejects[1:], strict=True)
    }
    for name, _ in TAILS:
        counts[name] = sum(reader.tail == name for reader in readers)
    return {name: count for name, count in counts.items() if count}
