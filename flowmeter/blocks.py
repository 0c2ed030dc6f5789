"""A capture's bytes, block by block, from a plain or gzip file, a pipe or a device.

Blocks are read into one array that is used again and again: a file that is cut while it is being
read cannot crash the process, as it could with a memory map, and memory stays bounded.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, cast

import numpy as np

from flowmeter.layout import Bytes
from topologies.errors import CaptureError, InputError, NotFoundError, Problem

BLOCK_BYTES: Final = 1 << 20
GZIP_MAGIC: Final = b"\x1f\x8b"


def capture_error(file: Path, offset: int, *, expected: str, got: str, remedy: str) -> CaptureError:
    """The error for a capture that is wrong at a byte offset (of the unpacked file)."""
    return CaptureError(
        Problem(str(file), path=f"byte {offset}", expected=expected, got=got, remedy=remedy)
    )


class Blocks:
    """A window that moves over a capture: ``data[start:stop]`` is what has not been used yet.

    Attributes
    ----------
    data
        uint8 array; `fill` moves what is left to its front and reads more behind it.
    torn
        The file ended inside its gzip stream, so its last packets are missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: Bytes = np.zeros(BLOCK_BYTES, np.uint8)
        self.start = self.stop = 0
        self.torn = False
        self._base = 0  # file offset of data[0]
        self._raw = _open(path)
        self._packed: gzip.GzipFile | None = None
        self._ended = False

    def __enter__(self) -> Blocks:
        try:
            self._fill_magic()
            if bytes(self.data[:2]) == GZIP_MAGIC:
                self._unpack()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    @property
    def offset(self) -> int:
        """Offset of ``start`` in the (unpacked) file."""
        return self._base + self.start

    @property
    def left(self) -> int:
        """Bytes read and not used yet."""
        return self.stop - self.start

    def fill(self) -> bool:
        """Read more behind what is left, in a larger array if it is full; False at the end."""
        if self._ended:
            return False
        left = self.left
        if left == len(self.data):
            self.data = np.concatenate([self.data, np.zeros_like(self.data)])
        elif self.start:
            self.data[:left] = self.data[self.start : self.stop].copy()
            self._base += self.start
            self.start, self.stop = 0, left
        count = self._read()
        self.stop += count
        self._ended = count == 0
        return count > 0

    def _read(self) -> int:
        try:
            room = self.data[self.stop :].data
            if self._packed is None:
                return self._raw.readinto(room)
            return self._packed.readinto1(room)  # readinto would lose what precedes a break
        except EOFError:
            self.torn = True
            return 0
        except (zlib.error, gzip.BadGzipFile) as error:
            raise capture_error(
                self.path,
                self._base + self.stop,
                expected="an intact gzip stream",
                got=f"a broken one ({error})",
                remedy="take an undamaged copy, or unpack what is left with gzip -dc",
            ) from error
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _unpack(self) -> None:
        packed = _Rejoined(bytes(self.data[: self.stop]), self._raw)
        self._packed = gzip.GzipFile(fileobj=cast(BinaryIO, packed), mode="rb")
        self.start = self.stop = 0
        self._ended = False
        self._fill_magic()

    def _fill_magic(self) -> None:
        while self.left < 4 and self.fill():
            pass


class _Rejoined:
    """A stream with bytes that were already taken put back in front (a pipe cannot seek)."""

    def __init__(self, head: bytes, rest: io.FileIO) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int) -> bytes:
        taken, self._head = self._head[:size], self._head[size:]
        return taken or self._rest.read(size)


def _open(path: Path) -> io.FileIO:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFoundError(
            Problem(
                str(path),
                path="",
                expected="a capture file",
                got="nothing of that name",
                remedy="check the path",
            )
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        Problem(
            str(path),
            path="",
            expected="a readable file",
            got=error.strerror or str(error),
            remedy="check that it is a file and that you may read it",
        )
    )
