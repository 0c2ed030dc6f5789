"""The classic capture format: a header, then records, each a 16-byte header and a frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import Bytes, Records
from flowmeter.input.blocks import Blocks, capture_error

# Magic as the file's bytes -> (big-endian, nanoseconds per unit of the fraction)
MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": (False, 1000),
    b"\xa1\xb2\xc3\xd4": (True, 1000),
    b"\x4d\x3c\xb2\xa1": (False, 1),
    b"\xa1\xb2\x3c\x4d": (True, 1),
}
HEADER_BYTES: Final = 24
LARGEST_FRAME: Final = 262_144  # the largest snaplen that tcpdump and Wireshark know
FULL, MORE, CORRUPT = 0, 1, 2


def walk(blocks: Blocks, arrays: Iterator[Records]) -> Iterator[Records]:
    """Fill one array after the other with packets of a pcap file; yields what is filled of each.

    The frames are in ``blocks.data`` until the next step.

    Raises
    ------
    CaptureError
        The header is cut off, or a record's length cannot be.
    """
    big, unit_ns = MAGICS[bytes(blocks.data[blocks.start : blocks.start + 4])]
    while blocks.left < HEADER_BYTES and blocks.fill():
        pass
    if blocks.left < HEADER_BYTES:
        raise capture_error(
            blocks.path,
            blocks.left,
            expected=f"a pcap header of {HEADER_BYTES} bytes",
            got="the end of the file",
            remedy="capture again: this file holds no packet",
        )
    header = bytes(blocks.data[blocks.start : blocks.start + HEADER_BYTES])
    # The upper half of the field tells about checksums at the frame's end.
    link = struct.unpack_from(">I" if big else "<I", header, 20)[0] & 0xFFFF
    blocks.start += HEADER_BYTES
    for packets in arrays:
        count, blocks.start, status = walk_records(
            blocks.data, blocks.start, blocks.stop, big, unit_ns, link, packets
        )
        yield packets[:count]
        if status == CORRUPT:
            record = bytes(blocks.data[blocks.start : blocks.start + 16])
            length = struct.unpack_from(">I" if big else "<I", record, 8)[0]
            raise capture_error(
                blocks.path,
                blocks.offset,
                expected=f"a packet record of at most {LARGEST_FRAME} bytes",
                got=f"one that says {length} bytes",
                remedy="the file is damaged from here on: take an undamaged copy, or keep what "
                "comes before with the setting corrupt='keep'",
            )
        if status == MORE and not blocks.fill():
            return


@compiled
def walk_records(  # noqa: PLR0917 - compiled
    data: Bytes, at: int, stop: int, big: bool, unit_ns: int, link: int, packets: Records
) -> tuple[int, int, int]:
    """Walk record headers in ``data[at:stop]``; how many packets, where it stopped, and why."""
    for count in range(len(packets)):
        if stop - at < 16:
            return count, at, MORE
        captured = _u32(data, at + 8, big)
        if captured > LARGEST_FRAME:
            return count, at, CORRUPT
        if stop - at - 16 < captured:
            return count, at, MORE
        packet = packets[count]
        fraction_ns = _u32(data, at + 4, big) * unit_ns
        seconds = _u32(data, at, big)
        packet.time_ns = seconds * 1_000_000_000 + fraction_ns if fraction_ns < 10**9 else -1
        packet.at = at + 16
        packet.captured = captured
        packet.wire = _u32(data, at + 12, big)
        packet.link = link
        at += 16 + captured
    return len(packets), at, FULL


@helper
def _u32(data: Bytes, at: int, big: bool) -> int:
    # Arithmetic, not int(): to numba int(uint8) is uint64, which mixed with int64 is a float.
    upper: int = data[at] * 256 + data[at + 1]
    lower: int = data[at + 2] * 256 + data[at + 3]
    if big:
        return upper * 65536 + lower
    return (lower & 255) << 24 | (lower >> 8) << 16 | (upper & 255) << 8 | upper >> 8
