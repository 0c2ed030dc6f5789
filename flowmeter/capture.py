"""Capture files to dissected packets, whatever their format; several files merged by time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from flowmeter import pcap, pcapng
from flowmeter.blocks import Blocks, capture_error
from flowmeter.dissect import dissect
from flowmeter.keys import identify
from flowmeter.layout import PACKET, Integers, Records
from topologies.errors import CaptureError

BATCH_PACKETS: Final = 4096
TRUNCATED_TAIL, CORRUPT_TAIL = "truncated_tail", "corrupt_tail"
TAILS: Final = (
    (TRUNCATED_TAIL, "the last record of a file is cut off (a capture that was killed)"),
    (CORRUPT_TAIL, "a record cannot be, the rest of the file was left (corrupt='keep' only)"),
)
OTHER_FORMATS: Final = {
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"\xfd7zX": "an xz file",
    b"BZh9": "a bzip2 file",
    b"PK\x03\x04": "a zip file",
    b"\x1f\x8b\x08\x00": "a gzip file inside a gzip file",
    b"snoo": "a snoop capture",
    b"\x34\xcd\xb2\xa1": "a modified pcap (Kuznetzov)",
    b"\xa1\xb2\xcd\x34": "a modified pcap (Kuznetzov)",
    b"PAR1": "a Parquet file",
}


class CaptureReader:
    """One capture file as batches of dissected packets.

    Attributes
    ----------
    tail
        After the last batch: how the file ended, '' for whole, else a name of `TAILS`.
    """

    def __init__(self, path: Path, *, corrupt: Literal["error", "keep"] = "error") -> None:
        self.path = path
        self.tail = ""
        self._corrupt = corrupt

    def batches(self) -> Iterator[Records]:
        """PACKET records in file order; a batch is valid until the next one.

        Raises
        ------
        CaptureError
            The file is no capture, or (unless ``corrupt='keep'``) broken half-way.
        InputError, NotFoundError
            The file cannot be read.
        """
        packets = np.zeros(BATCH_PACKETS, PACKET)
        with Blocks(self.path) as blocks:
            walk = self._walker(blocks)
            try:
                for count in walk(blocks, packets):
                    if count:
                        dissect(blocks.data, packets, count)
                        identify(packets, count)
                        yield packets[:count]
            except CaptureError:
                if self._corrupt == "error":
                    raise
                self.tail = CORRUPT_TAIL
                return
            if blocks.left or blocks.torn:
                self.tail = TRUNCATED_TAIL

    def _walker(self, blocks: Blocks) -> Callable[[Blocks, Records], Iterator[int]]:
        magic = bytes(blocks.data[: min(4, blocks.stop)])
        if magic in pcap.MAGICS:
            return pcap.walk
        if magic == pcapng.MAGIC:
            return pcapng.walk
        got = OTHER_FORMATS.get(magic) or (f"bytes {magic.hex(' ')}" if magic else "an empty file")
        raise capture_error(
            self.path,
            0,
            expected="a pcap or pcapng file, plain or gzip",
            got=got,
            remedy="give a capture by tcpdump, dumpcap or Wireshark, or convert it: "
            "editcap -F pcapng OLD NEW",
        )


def merged(readers: Sequence[CaptureReader]) -> Iterator[Records]:
    """The packets of all files in order of time; ties and disorder keep the order of the files."""
    if len(readers) == 1:
        yield from readers[0].batches()
        return
    queues = [_Queue(reader) for reader in readers]
    while any(queue.more for queue in queues):
        min((queue for queue in queues if queue.more), key=lambda queue: queue.last_ns).read()
        horizon_ns = min((queue.last_ns for queue in queues if queue.more), default=None)
        taken = [queue.take(horizon_ns) for queue in queues]
        times_ns = np.concatenate([times for times, _ in taken])
        packets = np.concatenate([records for _, records in taken])
        if len(packets):
            yield packets[np.argsort(times_ns, kind="stable")]


class _Queue:
    """Packets of one file that wait for the other files.

    They are ordered by the latest time seen so far, so that packets that a file holds out of order
    stay as they are.
    """

    def __init__(self, reader: CaptureReader) -> None:
        self._batches = reader.batches()
        self._times_ns: Integers = np.zeros(0, np.int64)
        self._packets: Records = np.zeros(0, PACKET)
        self.more = True
        self.last_ns = -1

    def read(self) -> None:
        """Append the file's next batch."""
        batch = next(self._batches, None)
        if batch is None:
            self.more = False
            return
        times_ns = np.maximum.accumulate(np.maximum(batch["time_ns"], self.last_ns))
        self.last_ns = int(times_ns[-1])
        self._times_ns = np.append(self._times_ns, times_ns)
        self._packets = np.append(self._packets, batch)

    def take(self, horizon_ns: int | None) -> tuple[Integers, Records]:
        """Remove the packets before the horizon: no file can still bring an earlier one."""
        count = len(self._times_ns)
        if horizon_ns is not None:
            count = int(np.searchsorted(self._times_ns, horizon_ns))
        taken = self._times_ns[:count], self._packets[:count]
        self._times_ns, self._packets = self._times_ns[count:], self._packets[count:]
        return taken
