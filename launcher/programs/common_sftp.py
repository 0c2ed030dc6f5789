"""Virtual files for SFTP and SCP: a name says the size, content is noise, uploads are counted."""

from __future__ import annotations

import errno
import os
import random
import re
from typing import Any

import asyncssh
from common import emit, noise, word

CREATED = 1_700_000_000  # epoch seconds of every file


class _VirtualFile:
    """``size`` bytes of noise to read; what is written is counted."""

    def __init__(self, size: int) -> None:
        self.size, self._at = size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence in (os.SEEK_HOLE, os.SEEK_END):
            offset = self.size
        elif whence == os.SEEK_DATA and offset >= self.size:
            raise OSError(errno.ENXIO, "no data after this")
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        left = max(self.size - self._at, 0)
        data = b"".join(noise(left if size < 0 else min(size, left), 65_536))
        self._at += len(data)
        return data

    def write(self, data: bytes) -> int:
        self._at += len(data)
        self.size = max(self.size, self._at)
        return len(data)

    def flush(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""


def _attributes(size: int, *, folder: bool = False) -> asyncssh.SFTPAttrs:
    return asyncssh.SFTPAttrs(
        type=asyncssh.FILEXFER_TYPE_DIRECTORY if folder else asyncssh.FILEXFER_TYPE_REGULAR,
        permissions=0o040755 if folder else 0o100644,
        size=size,
        uid=0,
        gid=0,
        atime=CREATED,
        mtime=CREATED,
    )


class Files(asyncssh.SFTPServer):
    """Files that exist by name: ``report-48213.pdf`` has 48,213 bytes. Uploads are remembered."""

    def __init__(self, chan: Any, **_: Any) -> None:
        super().__init__(chan)
        self._uploads: dict[bytes, _VirtualFile] = {}
        self._folders: set[bytes] = {b"/", b"/home", b"."}

    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:  # noqa: ARG002
        """Open a virtual file."""
        writing = bool(pflags & asyncssh.FXF_WRITE)
        emit("open", path=path.decode("utf-8", "replace")[-60:], writing=writing)
        if writing:
            self._uploads[path] = _VirtualFile(0)
            return self._uploads[path]
        return _VirtualFile(self._size(path))

    def close(self, file_obj: Any) -> None:
        """Log what was moved."""
        emit("close", bytes=file_obj.size)

    def _size(self, path: bytes) -> int:
        found = re.search(rb"-(\d{1,9})\.\w+$", path)
        if path in self._uploads:
            return self._uploads[path].size
        if found is None:
            raise asyncssh.SFTPError(asyncssh.FX_NO_SUCH_FILE, "No such file")
        return int(found[1])

    def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Attributes, made up."""
        if path in self._folders or path.endswith(b"/"):
            return _attributes(4_096, folder=True)
        return _attributes(self._size(path))

    lstat = stat

    def fstat(self, file_obj: Any) -> asyncssh.SFTPAttrs:
        """Attributes of an open file."""
        return _attributes(file_obj.size)

    def listdir(self, path: bytes) -> list[bytes]:
        """A folder's names: always the same for the same folder, another number for each."""
        rng = random.Random(path)
        return [
            f"{word(rng)}-{rng.randint(1, 10 ** rng.randint(3, 7))}.{word(rng, 2, 4)}".encode()
            for _ in range(rng.randint(2, 120))
        ]

    def mkdir(self, path: bytes, attrs: Any) -> None:  # noqa: ARG002
        """Remember a folder."""
        self._folders.add(path)

    def realpath(self, path: bytes) -> bytes:
        """The path, from the root."""
        return path if path.startswith(b"/") else b"/home/" + path

    def setstat(self, path: bytes, attrs: Any) -> None:
        """Accept new attributes."""

    def fsetstat(self, file_obj: Any, attrs: Any) -> None:
        """Accept new attributes."""

    lsetstat = setstat

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename an upload."""
        self._uploads[newpath] = self._uploads.pop(oldpath, _VirtualFile(0))

    posix_rename = rename

    def remove(self, path: bytes) -> None:
        """Forget an upload."""
        self._uploads.pop(path, None)
