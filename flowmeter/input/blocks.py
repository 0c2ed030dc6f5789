"""A capture's bytes, block by block, from a plain or packed file, a pipe or standard input.

Blocks are read into one array that is used again and again: a file that is cut while it is being
read cannot crash the process, as it could with a memory map, and memory stays bounded.
"""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from flowmeter.core.layout import Bytes
from flowmeter.input.packed import BrokenStreamError, TornStreamError, Unpacker, unpacker
from topologies.errors import CaptureError, InputError, NotFoundError, Problem

BLOCK_BYTES: Final = 1 << 20
MAGIC_BYTES: Final = 4  # at a file's beginning they tell what it is
STANDARD_INPUT: Final = Path("-")


def capture_error(file: Path, offset: int, *, expected: str, got: str, remedy: str) -> CaptureError:
    """The error for a capture that is wrong at a byte offset (of the unpacked file)."""
    return CaptureError(
        Problem(shown(file), path=f"byte {offset}", expected=expected, got=got, remedy=remedy)
    )


def shown(path: Path) -> str:
    """Name a capture in a message."""
    return "standard input" if path == STANDARD_INPUT else str(path)


class Blocks:
    """A window that moves over a capture: ``data[start:stop]`` is what has not been used yet.

    Attributes
    ----------
    data
        uint8 array; `fill` moves what is left to its front and reads more behind it.
    torn
        The file ended inside its gzip or zstd stream, so its last packets are missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: Bytes = np.zeros(BLOCK_BYTES, np.uint8)
        self.start = self.stop = 0
        self.torn = False
        self._base = 0  # file offset of data[0]
        self._raw = _open(path)
        self._unpacker: Unpacker | None = None
        self._ended = False

    def __enter__(self) -> Blocks:
        try:
            self._fill_magic()
            self._unpacker = unpacker(bytes(self.data[: self.stop]), self._raw)
            if self._unpacker is not None:
                self.start = self.stop = 0
                self._ended = False
                self._fill_magic()
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
        room = self.data[self.stop :].data
        try:
            if self._unpacker is None:
                return self._raw.readinto(room)
            return self._unpacker.fill(room)
        except TornStreamError:
            self.torn = True
            return 0
        except BrokenStreamError as error:
            whole = self._base + self.stop
            keep = ", or keep what comes before with the setting corrupt='keep'"
            raise capture_error(
                self.path,
                whole,
                expected="an intact gzip or zstd stream",
                got=f"a broken one ({error})",
                remedy="take an undamaged copy" + (keep if whole >= MAGIC_BYTES else ""),
            ) from error
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _fill_magic(self) -> None:
        while self.left < MAGIC_BYTES and self.fill():
            pass


def _open(path: Path) -> io.FileIO:
    try:
        if path == STANDARD_INPUT:
            return io.FileIO(0, closefd=False)
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFoundError(
            Problem(
                shown(path),
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
            shown(path),
            path="",
            expected="a readable file",
            got=error.strerror or str(error),
            remedy="check that it is a file and that you may read it",
        )
    )
