"""Packed captures: gzip and zstd, unpacked as a stream, in bounded memory, from files and pipes."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Final, Protocol, cast

import zstandard

GZIP_MAGIC: Final = b"\x1f\x8b"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
# A bite of packed bytes unpacks to 64 MiB at most, however well they were packed.
BITE_BYTES: Final = 2048
LARGEST_WINDOW: Final = 1 << 27  # what the zstd program unpacks without being told to


class BrokenStreamError(Exception):
    """The packed stream is damaged; the message says how."""


class TornStreamError(Exception):
    """The packed stream ends before its end."""


class Unpacker(Protocol):
    """Something that fills room with unpacked bytes."""

    def fill(self, room: memoryview) -> int:
        """Fill the front of ``room``; how many bytes, 0 at the end."""
        ...


def unpacker(head: bytes, rest: io.RawIOBase) -> Unpacker | None:
    """What unpacks a stream whose first bytes were taken already; None if it is not packed."""
    if head[:2] == GZIP_MAGIC:
        return _Gzip(head, rest)
    # A zstd stream may begin with frames of notes that hold no data.
    if head[:4] == ZSTD_MAGIC or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return _Zstd(head, rest)
    return None


class _Gzip:
    def __init__(self, head: bytes, rest: io.RawIOBase) -> None:
        joined = cast(io.BufferedReader, _Rejoined(head, rest))
        self._file = gzip.GzipFile(fileobj=joined, mode="rb")

    def fill(self, room: memoryview) -> int:
        try:
            return self._file.readinto1(room)  # readinto would lose what precedes a break
        except EOFError as error:
            raise TornStreamError from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise BrokenStreamError(str(error)) from error


class _Zstd:
    """Frames one after the other.

    The library's own stream reader takes a frame that was cut for a whole one, so its frames are
    followed one by one here.
    """

    def __init__(self, head: bytes, rest: io.RawIOBase) -> None:
        self._source = _Rejoined(head, rest)
        self._library = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = memoryview(b"")
        self._ready = memoryview(b"")

    def fill(self, room: memoryview) -> int:
        while not self._ready:
            if not self._packed:
                self._packed = memoryview(self._source.read(1 << 16))
                if not self._packed:
                    if self._frame is not None:
                        raise TornStreamError
                    return 0
            self._unpack()
        count = min(len(room), len(self._ready))
        room[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self) -> None:
        bite, self._packed = self._packed[:BITE_BYTES], self._packed[BITE_BYTES:]
        if self._frame is None:
            self._frame = self._library.decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(bite))
        except zstandard.ZstdError as error:
            raise BrokenStreamError(str(error)) from error
        if self._frame.eof:
            left = self._frame.unused_data
            self._frame = None
            if left:
                self._packed = memoryview(left + bytes(self._packed))


class _Rejoined:
    """A stream with bytes that were already taken put back in front (a pipe cannot seek)."""

    def __init__(self, head: bytes, rest: io.RawIOBase) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int) -> bytes:
        taken, self._head = self._head[:size], self._head[size:]
        return taken or self._rest.read(size) or b""
