"""Capture files to dissected packets, whatever their format; several files merged by time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, repeat
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from flowmeter.core.dissect import dissect
from flowmeter.core.fragments import new_fragments
from flowmeter.core.keys import identify
from flowmeter.core.layout import Bytes, Integers, Records
from flowmeter.core.packet import PACKET
from flowmeter.input import pcap, pcapng
from flowmeter.input.blocks import Blocks, capture_error
from topologies.errors import CaptureError, InputError

BATCH_PACKETS: Final = 4096
AHEAD_PACKETS: Final = 4 * BATCH_PACKETS  # handing over to threads takes its time
Walk: TypeAlias = Callable[[Blocks, Iterator[Records]], Iterator[Records]]
TRUNCATED_TAIL, CORRUPT_TAIL = "truncated_tail", "corrupt_tail"
TAILS: Final = (
    (TRUNCATED_TAIL, "the last record of a file is cut off (a capture that was killed)"),
    (CORRUPT_TAIL, "a record cannot be, the rest of the file was left (corrupt='keep' only)"),
)
OTHER_FORMATS: Final = {
    b"\x28\xb5\x2f\xfd": "a zstd file inside a packed file",
    b"\x1f\x8b\x08\x00": "a gzip file inside a packed file",
    b"\x1f\x8b\x08\x08": "a gzip file inside a packed file",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"\xfd7zX": "an xz file",
    b"BZh9": "a bzip2 file",
    b"PK\x03\x04": "a zip file",
    b"snoo": "a snoop capture",
    b"\x34\xcd\xb2\xa1": "a modified pcap (Kuznetzov)",
    b"\xa1\xb2\xcd\x34": "a modified pcap (Kuznetzov)",
    b"PAR1": "a Parquet file",
}


class CaptureReader:
    """One capture as batches of dissected packets.

    Parameters
    ----------
    path
        pcap or pcapng, plain, gzip or zstd; a file, a named pipe, or ``-`` for standard input.
    corrupt, tunnels
        As in `MeterConfig`.
    in_use
        A batch stays as it is until so many have come after it. Above 1 they are larger.

    Attributes
    ----------
    tail
        After the last batch: how the file ended, '' for whole, else a name of `TAILS`.
    data
        uint8 array that holds the frames of the batch just given, if one is in use at once: a
        packet's is ``data[at : at + captured]``.

    Examples
    --------
    >>> import tempfile
    >>> empty = bytes.fromhex("d4c3b2a1 02000400 00000000 00000000 00000400 01000000")
    >>> with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
    ...     _ = Path(file.name).write_bytes(empty)
    ...     sum(len(batch) for batch in CaptureReader(Path(file.name)).batches())
    0
    """

    def __init__(
        self,
        path: Path,
        *,
        corrupt: Literal["error", "keep"] = "error",
        tunnels: Literal["outer", "inner"] = "outer",
        in_use: int = 1,
    ) -> None:
        self.path = path
        self.tail = ""
        self.data: Bytes = np.zeros(0, np.uint8)
        self._corrupt = corrupt
        self._inner = tunnels == "inner"
        self._in_use = in_use

    def batches(self) -> Iterator[Records]:
        """PACKET records in file order, with the keys of their flows.

        Raises
        ------
        CaptureError
            The file is no capture, or (unless ``corrupt='keep'``) broken half-way.
        InputError, NotFoundError
            The file cannot be read.
        """
        fragments = new_fragments()
        for packets in self.dissected():
            identify(packets, len(packets), fragments)
            yield packets

    def dissected(self) -> Iterator[Records]:
        """As `batches`, but without keys, which files that are merged get in their common order."""
        enough = 1 if self._in_use == 1 else AHEAD_PACKETS
        room = _Room(enough + BATCH_PACKETS - 1, self._in_use)
        with Blocks(self.path) as blocks:
            walk = self._walker(blocks)
            try:
                for packets in walk(blocks, room):
                    self.data = blocks.data
                    dissect(blocks.data, packets, len(packets), inner=self._inner)
                    room.filled += len(packets)
                    if room.filled >= enough:
                        yield room.take()
            except CaptureError:
                if self._corrupt == "error":
                    raise
                self.tail = CORRUPT_TAIL
            if room.filled:
                yield room.take()
            if not self.tail and (blocks.left or blocks.torn):
                self.tail = TRUNCATED_TAIL

    def first_ns(self) -> int:
        """Time of the first packet, without keeping the file open.

        -1 if it has none, or if reading would use it up (a pipe) or fails: then the time to read it
        is the beginning, and `batches` tells what is wrong.
        """
        if not self.path.is_file():
            return -1
        packet = np.zeros(1, PACKET)
        try:
            with Blocks(self.path) as blocks:
                for packets in self._walker(blocks)(blocks, repeat(packet)):
                    if len(packets):
                        return int(packets["time_ns"][0])
        except InputError:
            return -1
        return -1

    def _walker(self, blocks: Blocks) -> Walk:
        magic = bytes(blocks.data[: min(4, blocks.stop)])
        if magic in pcap.MAGICS:
            return pcap.walk
        if magic == pcapng.MAGIC:
            return pcapng.walk
        got = OTHER_FORMATS.get(magic) or (f"bytes {magic.hex(' ')}" if magic else "an empty file")
        raise capture_error(
            self.path,
            0,
            expected="a pcap or pcapng file, plain, gzip or zstd",
            got=got,
            remedy="give a capture by tcpdump, dumpcap or Wireshark, or convert it: "
            "editcap -F pcapng OLD NEW",
        )


class _Room:
    """Arrays for packets, used in turn; it iterates over what is free in the one whose turn it is.

    Attributes
    ----------
    filled
        How many packets are in it.
    """

    def __init__(self, packets: int, arrays: int) -> None:
        self._arrays = cycle([np.zeros(packets, PACKET) for _ in range(arrays)])
        self._array = next(self._arrays)
        self.filled = 0

    def __iter__(self) -> Iterator[Records]:
        return self

    def __next__(self) -> Records:
        return self._array[self.filled :]

    def take(self) -> Records:
        """What was filled; it is the next array's turn."""
        taken = self._array[: self.filled]
        self._array, self.filled = next(self._arrays), 0
        return taken


def merged(readers: Sequence[CaptureReader]) -> Iterator[Records]:
    """The packets of all files in order of time; ties and disorder keep the order of the files.

    A file is open only from the time of its first packet until its end, so that the thousand parts
    of a rotated capture do not count as a thousand open files. Pipes are open from the beginning.
    """
    if len(readers) == 1:
        yield from readers[0].batches()
        return
    fragments = new_fragments()
    for packets in _in_order(readers):
        identify(packets, len(packets), fragments)
        yield packets


def _in_order(readers: Sequence[CaptureReader]) -> Iterator[Records]:
    queues = [_Queue(number, reader) for number, reader in enumerate(readers)]
    later = sorted(queues, key=lambda queue: queue.last_ns, reverse=True)  # the next one is last
    now: list[_Queue] = []
    while now or later:
        horizon_ns = min((queue.last_ns for queue in now if queue.more), default=None)
        while later and (horizon_ns is None or later[-1].last_ns <= horizon_ns):
            horizon_ns = later[-1].last_ns
            now.append(later.pop())
            now.sort(key=lambda queue: queue.number)
        open_queues = [queue for queue in now if queue.more]
        if open_queues:
            min(open_queues, key=lambda queue: queue.last_ns).read()
        coming = [queue.last_ns for queue in (*now, *later[-1:]) if queue.more]
        taken = [queue.take(min(coming, default=None)) for queue in now]
        packets = joined([records for _, records in taken])
        if len(packets):
            times_ns = np.concatenate([times for times, _ in taken])
            yield packets[np.argsort(times_ns, kind="stable")]
        now = [queue for queue in now if queue.more or queue.waits]


def joined(batches: Sequence[Records]) -> Records:
    """Batches of packets as one."""
    # Without its type, numpy would give names that share a place places of their own.
    return np.concatenate(batches, dtype=PACKET)


class _Queue:
    """Packets of one file that wait for the other files.

    They are ordered by the latest time seen so far, so that packets that a file holds out of order
    stay as they are.
    """

    def __init__(self, number: int, reader: CaptureReader) -> None:
        self.number = number
        self.more = True
        self.last_ns = reader.first_ns()  # no packet to come is ordered before this time
        self._batches = reader.dissected()  # opens the file when it is first asked
        self._times_ns: Integers = np.zeros(0, np.int64)
        self._packets: Records = np.zeros(0, PACKET)

    @property
    def waits(self) -> bool:
        """Whether packets wait here."""
        return len(self._packets) > 0

    def read(self) -> None:
        """Append the file's next batch."""
        batch = next(self._batches, None)
        if batch is None:
            self.more = False
            return
        times_ns = np.maximum.accumulate(np.maximum(batch["time_ns"], self.last_ns))
        self.last_ns = int(times_ns[-1])
        self._times_ns = np.append(self._times_ns, times_ns)
        self._packets = joined([self._packets, batch])

    def take(self, horizon_ns: int | None) -> tuple[Integers, Records]:
        """Remove the packets before the horizon: no file can still bring an earlier one."""
        count = len(self._times_ns)
        if horizon_ns is not None:
            count = int(np.searchsorted(self._times_ns, horizon_ns))
        taken = self._times_ns[:count], self._packets[:count]
        self._times_ns, self._packets = self._times_ns[count:], self._packets[count:]
        return taken
