"""Captures to a flow table, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flowmeter.config import MeterConfig
from flowmeter.stream import flows
from flowmeter.table import in_order

if TYPE_CHECKING:
    import pyarrow as pa

    from flowmeter.plugins import FlowPlugin


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
    tails
        Files that break off within a packet, and how.
    """

    table: pa.Table
    packets: int
    rejects: dict[str, int]
    tails: dict[str, str] = field(default_factory=dict)


def meter(
    captures: str | Path | Sequence[str | Path],
    *,
    run_id: str = "",
    network: str = "",
    config: MeterConfig | None = None,
    plugins: Sequence[FlowPlugin] = (),
) -> MeterResult:
    """Meter capture files that belong together; `flows` keeps no more in memory than it must.

    Parameters
    ----------
    captures
        pcap or pcapng, plain or compressed. The parts of a rotated capture are one network's.
    run_id, network
        Go into the columns of those names, and into each ``flow_id``.
    plugins
        Features of your own, see `flowmeter.plugins`.

    Raises
    ------
    CaptureError
        A file is no capture, or is broken half-way; names the byte offset.
    InputError, NotFoundError
        A file cannot be read, or is not there.
    """
    with flows(captures, run_id=run_id, network=network, config=config, plugins=plugins) as stream:
        table = in_order(stream.read_all())
    return MeterResult(table, stream.packets, stream.rejects, stream.tails)
