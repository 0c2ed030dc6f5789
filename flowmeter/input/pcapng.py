"""The next-generation capture format: blocks in sections, each section with its interfaces.

The compiled walker takes packet blocks and skips what carries none. Section and interface blocks,
which are rare, it hands back to Python. Packets of simple packet blocks have no time stamp.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np

from flowmeter.core.jit import compiled, helper
from flowmeter.core.layout import Bytes, Record, Records
from flowmeter.input.blocks import Blocks, capture_error
from topologies.errors import CaptureError

MAGIC: Final = b"\x0a\x0d\x0d\x0a"
LARGEST_BLOCK: Final = 1 << 24
MOST_INTERFACES: Final = 4096
INTERFACE: Final = np.dtype(
    [
        ("link", "i4"),
        ("shift", "i4"),  # a unit is 2^-shift s; 0: a decimal fraction instead
        ("multiply", "u8"),  # units to ns
        ("divide", "u8"),
        ("offset_ns", "i8"),
    ],
    align=True,
)
FULL, MORE, CORRUPT, SECTION, NEW_INTERFACE = 0, 1, 2, 3, 4
SECTION_BLOCK, INTERFACE_BLOCK = 0x0A0D0D0A, 1
OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 2, 3, 6
TSRESOL, TSOFFSET = 9, 14
REMEDY: Final = (
    "the file is damaged from here on: take an undamaged copy, or keep what comes before with the "
    "setting corrupt='keep'"
)


def walk(blocks: Blocks, arrays: Iterator[Records]) -> Iterator[Records]:
    """Fill one array after the other with packets of a pcapng file; yields what is filled of each.

    The frames are in ``blocks.data`` until the next step.

    Raises
    ------
    CaptureError
        A block's lengths cannot be, or a section has no byte order.
    """
    big = False
    interfaces = np.zeros(0, INTERFACE)
    for packets in arrays:
        count, blocks.start, status = walk_blocks(
            blocks.data, blocks.start, blocks.stop, big, interfaces, packets
        )
        yield packets[:count]
        if status == CORRUPT:
            raise _corrupt(blocks, "a block whose two lengths agree and hold its packet")
        if status == SECTION and blocks.left >= 12:
            big = _section_is_big(blocks)
            size = _size(blocks, big)
            if size is not None:
                blocks.start += size
                interfaces = np.zeros(0, INTERFACE)
                continue
        elif status == NEW_INTERFACE:
            size = _size(blocks, big)
            if len(interfaces) == MOST_INTERFACES:
                raise _corrupt(blocks, f"at most {MOST_INTERFACES} interfaces in a section")
            if size is not None:
                interfaces = np.append(interfaces, _interface(blocks, size, big))
                blocks.start += size
                continue
        if status != FULL and not blocks.fill():
            return


def _corrupt(blocks: Blocks, expected: str) -> CaptureError:
    head = bytes(blocks.data[blocks.start : blocks.start + min(blocks.left, 12)])
    return capture_error(
        blocks.path, blocks.offset, expected=expected, got=head.hex(" "), remedy=REMEDY
    )


def _section_is_big(blocks: Blocks) -> bool:
    magic = bytes(blocks.data[blocks.start + 8 : blocks.start + 12])
    if magic not in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
        raise _corrupt(blocks, "a section header with a byte-order magic")
    return magic[0] == 0x1A


def _size(blocks: Blocks, big: bool) -> int | None:
    """Length of the block at the start, None while it is not all there."""
    size = int(block_size(blocks.data, blocks.start, blocks.stop, big))
    if size < 0:
        raise _corrupt(blocks, "a block whose two lengths agree")
    return size or None


def _interface(blocks: Blocks, size: int, big: bool) -> Records:
    """Read one interface description block."""
    order = ">" if big else "<"
    body = bytes(blocks.data[blocks.start + 8 : blocks.start + size - 4])
    if len(body) < 8:
        raise _corrupt(blocks, "an interface description of at least 20 bytes")
    record = np.zeros(1, INTERFACE)
    record["link"] = struct.unpack_from(order + "H", body)[0]
    resolution, at = 6, 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == TSRESOL and len(value) == 1:
            resolution = value[0]
        elif code == TSOFFSET and len(value) == 8:
            seconds = struct.unpack(order + "q", value)[0]
            # Offsets beyond what nanoseconds can say make the time impossible, hence -1 later.
            record["offset_ns"] = max(-(2**62), min(2**62, seconds * 1_000_000_000))
        at += 4 + (length + 3) // 4 * 4
    exponent = resolution & 0x7F
    if exponent > (63 if resolution & 0x80 else 18):
        raise _corrupt(blocks, "a time resolution (if_tsresol) not finer than 10^-18 or 2^-63 s")
    record["multiply"] = record["divide"] = 1
    if resolution & 0x80 and exponent:
        record["shift"] = exponent
    else:
        decimal = 0 if resolution & 0x80 else exponent
        record["multiply" if decimal <= 9 else "divide"] = 10 ** abs(9 - decimal)
    return record


@compiled
def walk_blocks(  # noqa: PLR0917, PLR0911 - compiled
    data: Bytes, at: int, stop: int, big: bool, interfaces: Records, packets: Records
) -> tuple[int, int, int]:
    """Walk blocks in ``data[at:stop]``; how many packets, where it stopped, and why."""
    count = 0
    while count < len(packets):
        if stop - at < 12:
            return count, at, MORE
        kind = _u32(data, at, big)
        if kind == SECTION_BLOCK:
            return count, at, SECTION
        size = block_size(data, at, stop, big)
        if size == 0:
            return count, at, MORE
        if size < 0:
            return count, at, CORRUPT
        if kind == INTERFACE_BLOCK:
            return count, at, NEW_INTERFACE
        if kind in (OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET):
            if not _packet(data, at, size, kind, big, interfaces, packets[count]):
                return count, at, CORRUPT
            count += 1
        at += size
    return count, at, FULL


@compiled
def block_size(data: Bytes, at: int, stop: int, big: bool) -> int:
    """Length of the block at ``at``; 0: not all there yet; -1: the lengths cannot be."""
    size = _u32(data, at + 4, big)
    if size < 12 or size % 4 or size > LARGEST_BLOCK:
        return -1
    if size > stop - at:
        return 0
    return size if _u32(data, at + size - 4, big) == size else -1


@helper
def _packet(  # noqa: PLR0917 - compiled
    data: Bytes, at: int, size: int, kind: int, big: bool, interfaces: Records, packet: Record
) -> bool:
    """Fill ``packet`` from a packet block; False if its lengths contradict each other."""
    head = 12 if kind == SIMPLE_PACKET else 28
    if size < head + 4:
        return False
    if kind == SIMPLE_PACKET:
        interface = 0
        packet.wire = _u32(data, at + 8, big)
        packet.captured = min(packet.wire, size - 16)
    else:
        # The older packet block has a 16-bit interface number and a drop count in one word.
        interface = _u32(data, at + 8, big) if kind == ENHANCED_PACKET else _u16(data, at + 8, big)
        packet.captured = _u32(data, at + 20, big)
        packet.wire = _u32(data, at + 24, big)
    if packet.captured > size - head - 4:
        return False
    packet.at = at + head
    packet.time_ns = 0
    if interface >= len(interfaces):
        packet.link = -1
        return True
    packet.link = interfaces[interface].link
    if kind == SIMPLE_PACKET:
        packet.time_ns = -1
    else:
        high, low = _u32(data, at + 12, big), _u32(data, at + 16, big)
        packet.time_ns = _time_ns(interfaces[interface], high, low)
    return True


@helper
def _time_ns(interface: Record, high: int, low: int) -> np.int64:
    """Nanoseconds since 1970, or -1 if that is before 1970 or after 2116."""
    limit = np.uint64(2**62)
    units = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    if interface.shift == 0:
        if units > limit // interface.multiply:
            return np.int64(-1)
        since = units * interface.multiply // interface.divide
    else:
        shift = np.uint64(interface.shift)
        seconds = units >> shift
        if seconds > limit // np.uint64(10**9):
            return np.int64(-1)
        fraction = units & ((np.uint64(1) << shift) - np.uint64(1))
        spare = np.uint64(max(interface.shift - 32, 0))  # keeps the product within 64 bits
        fraction = (fraction >> spare) * np.uint64(10**9) >> (shift - spare)
        since = seconds * np.uint64(10**9) + fraction
    return max(np.int64(since) + interface.offset_ns, np.int64(-1))


@helper
def _u16(data: Bytes, at: int, big: bool) -> int:
    # Arithmetic, not int(): to numba int(uint8) is uint64, which mixed with int64 is a float.
    value: int = data[at] * 256 + data[at + 1] if big else data[at + 1] * 256 + data[at]
    return value


@helper
def _u32(data: Bytes, at: int, big: bool) -> int:
    if big:
        return _u16(data, at, big) * 65536 + _u16(data, at + 2, big)
    return _u16(data, at + 2, big) * 65536 + _u16(data, at, big)
