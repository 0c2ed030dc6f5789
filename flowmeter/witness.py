"""Captures metered a second time, as if they were live, beside a flow table made of them before.

What the audit asks of packets is answered on the way: whether they are in order, once each, no
larger than their wire carries, all in the table, and with the initiators that their SYNs tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from flowmeter.config import MeterConfig
from flowmeter.core.layout import C2S
from flowmeter.core.looking import LOOKED, PLACES, SEEN, look
from flowmeter.input.capture import CaptureReader, merged
from flowmeter.output.digest import RowDigest
from flowmeter.stream import flows

if TYPE_CHECKING:
    from flowmeter.core.layout import Integers, Records

LATE_NS: Final = 10_000_000
LAG_NS: Final = 2_000_000_000
WHOLE: Final = 4096
PIECES: Final = (*[WHOLE] * 61, 1, 509, 7, 64)  # packets that come at once at most, in turn
TCP, SYN, ACK = 6, 2, 16


@dataclass(slots=True)
class Witness:
    """What the packets of one capture point say.

    Attributes
    ----------
    packets, wire_bytes
        Records, and how long their frames were on the wire.
    accepted, ip_bytes
        Packets that are in a flow, and their IP lengths.
    rejects
        The others, by reason (`flowmeter.reject_table`).
    unordered, late, latest_ns
        Packets stamped earlier than one before them; by more than `LATE_NS`; by how much at most.
    repeated
        Equal frames within a millisecond.
    oversize, largest_bytes
        Frames with more IP than the link carries, and the most that one had.
    syn_forth, syn_back
        SYNs (without ACK) sent by the initiator of their flow, and by the other side.
    rows
        Of the flows that came out.
    """

    packets: int = 0
    wire_bytes: int = 0
    accepted: int = 0
    ip_bytes: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    unordered: int = 0
    late: int = 0
    latest_ns: int = 0
    repeated: int = 0
    oversize: int = 0
    largest_bytes: int = 0
    syn_forth: int = 0
    syn_back: int = 0
    rows: RowDigest = field(default_factory=RowDigest)


def witness(
    captures: Sequence[Path], *, config: MeterConfig, run_id: str, network: str, mtu: int
) -> Witness:
    """Meter the capture files of one network by the path of a live capture, and look at packets.

    Raises
    ------
    CaptureError, InputError, NotFoundError
        As `flowmeter.flows`.
    """
    found = Witness()
    source = _Replay(captures, found, mtu)
    alone = replace(config, threads=1)  # live packets wait for nobody
    with flows(source, run_id=run_id, network=network, config=alone) as stream:
        for batch in stream:
            found.rows.add(batch)
    found.packets, found.rejects = stream.packets, stream.rejects
    return found


@dataclass(slots=True)
class _Replay:
    """Files whose packets come piece by piece; a `flowmeter.sources.LiveSource`."""

    captures: Sequence[Path]
    found: Witness
    mtu: int

    @contextmanager
    def opened(self, config: MeterConfig) -> Iterator[_Pieces]:
        yield _Pieces(self, config)


class _Pieces:
    """A `flowmeter.sources.Packets`."""

    live = True
    at_hand = True

    def __init__(self, replay: _Replay, config: MeterConfig) -> None:
        self._found = replay.found
        self._seen, self._looked = np.zeros(PLACES, SEEN), np.zeros(1, LOOKED)
        self._readers = [
            _Watched(path, config, (self._seen, self._looked, replay.mtu))
            for path in replay.captures
        ]
        self._latest_ns = 0

    @property
    def tails(self) -> dict[str, str]:
        """Files that break off, and how."""
        return {str(reader.path): reader.tail for reader in self._readers if reader.tail}

    def batches(self) -> Iterator[Records | int]:
        """The packets in pieces of all sizes, and what time it is after some."""
        sizes = cycle(PIECES)
        for packets in merged(self._readers):
            self._order(packets["time_ns"])
            begin = 0
            while begin < len(packets):
                size = next(sizes)
                piece = packets[begin : begin + size]
                begin += len(piece)
                yield piece
                self._tally(piece)
                if size < WHOLE:  # else there would be hardly more than one row in a batch
                    yield int(piece["time_ns"][-1]) - LAG_NS
        looked = self._looked[0]
        self._found.wire_bytes = int(looked["wire_bytes"])
        self._found.repeated, self._found.oversize = (
            int(looked["repeated"]),
            int(looked["oversize"]),
        )
        self._found.largest_bytes = int(looked["largest"])

    def _order(self, time_ns: Integers) -> None:
        latest = np.maximum.accumulate(np.maximum(time_ns, self._latest_ns))
        behind = latest - time_ns
        self._latest_ns = int(latest[-1])
        self._found.unordered += int((behind > 0).sum())
        self._found.late += int((behind > LATE_NS).sum())
        self._found.latest_ns = max(self._found.latest_ns, int(behind.max()))

    def _tally(self, piece: Records) -> None:
        """Count what the tracker made of some packets."""
        taken = (piece["reject"] == 0) & (piece["slot"] >= 0)
        syn = taken & (piece["protocol"] == TCP) & (piece["flags"] & (SYN | ACK) == SYN)
        forth = int((piece["direction"][syn] == C2S).sum())
        self._found.accepted += int(taken.sum())
        self._found.ip_bytes += int(piece["ip_bytes"][taken].sum(dtype=np.int64))
        self._found.syn_forth += forth
        self._found.syn_back += int(syn.sum()) - forth


class _Watched(CaptureReader):
    """A file whose frames are looked at while they are at hand."""

    def __init__(
        self, path: Path, config: MeterConfig, looking: tuple[Records, Records, int]
    ) -> None:
        super().__init__(path, corrupt=config.corrupt, tunnels=config.tunnels)
        self._looking = looking

    def dissected(self) -> Iterator[Records]:
        """As its parent's."""
        for packets in super().dissected():
            look(self.data, packets, *self._looking)
            yield packets
