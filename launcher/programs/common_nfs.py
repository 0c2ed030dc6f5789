"""NFS by libnfs (release 4, soname 13): one mounted export, in NFSv3 or NFSv4.0."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from common import PeerError

LIBRARY = "libnfs.so.13"
READ_BYTES = 1 << 20
V4_WRITE_BYTES = 3_000  # libnfs 4.0 cannot encode a longer write of version 4
TIMEOUT_MS = 8_000
DIRECTORY = 2


class Entry(NamedTuple):
    """Something in a folder: its path in the export, whether it is a folder, its size in bytes."""

    path: str
    is_folder: bool
    size: int


class _Dirent(ctypes.Structure):
    """The begin of libnfs's ``struct nfsdirent``."""


_Dirent._fields_ = [
    ("next", ctypes.POINTER(_Dirent)),
    ("name", ctypes.c_char_p),
    ("inode", ctypes.c_uint64),
    ("type", ctypes.c_uint32),
    ("mode", ctypes.c_uint32),
    ("size", ctypes.c_uint64),
]


class _Url(ctypes.Structure):
    """The begin of libnfs's ``struct nfs_url``."""

    _fields_ = (("server", ctypes.c_char_p), ("path", ctypes.c_char_p))


def _library() -> Any:
    library = ctypes.CDLL(LIBRARY)
    library.nfs_init_context.restype = ctypes.c_void_p
    library.nfs_get_error.restype = ctypes.c_char_p
    library.nfs_parse_url_dir.restype = ctypes.POINTER(_Url)
    library.nfs_readdir.restype = ctypes.POINTER(_Dirent)
    return library


class Mount:
    """An export in use. ``url`` is libnfs's, with settings as its query.

    Raises
    ------
    PeerError
        By every method: the server refused or does not answer.
    """

    def __init__(self, url: str, *, version: int) -> None:
        self._lib, self.version = _library(), version
        self._context = ctypes.c_void_p(self._lib.nfs_init_context())
        self._lib.nfs_set_timeout(self._context, TIMEOUT_MS)
        place = self._lib.nfs_parse_url_dir(self._context, url.encode())
        if not place:
            raise PeerError(self._said())
        self._check(self._lib.nfs_set_version(self._context, version))
        parts = place.contents
        self._check(self._lib.nfs_mount(self._context, parts.server, parts.path))

    def close(self) -> None:
        """Unmount and disconnect."""
        self._lib.nfs_umount(self._context)
        self._lib.nfs_destroy_context(self._context)

    def entries(self, folder: str) -> list[Entry]:
        """What is in a folder; it ends with a slash, like the paths of folders."""
        handle = ctypes.c_void_p()
        self._check(self._lib.nfs_opendir(self._context, folder.encode(), ctypes.byref(handle)))
        found = []
        while entry := self._lib.nfs_readdir(self._context, handle):
            name = entry.contents.name.decode()
            if name not in (".", ".."):
                is_folder = entry.contents.type == DIRECTORY
                path = f"{folder}{name}{'/' if is_folder else ''}"
                found.append(Entry(path, is_folder, entry.contents.size))
        self._lib.nfs_closedir(self._context, handle)
        return found

    def make_folder(self, path: str) -> None:
        """Make one folder."""
        self._check(self._lib.nfs_mkdir(self._context, path.rstrip("/").encode()))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._check(self._lib.nfs_rename(self._context, old.encode(), new.encode()))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._check(self._lib.nfs_unlink(self._context, path.encode()))

    def read(self, path: str, *, block_bytes: int, begin: int = 0) -> Iterator[bytes]:
        """A file's content from ``begin`` on, a request for each block."""
        buffer = ctypes.create_string_buffer(min(block_bytes, READ_BYTES))
        handle = self._open(path, os.O_RDONLY)
        try:
            at = begin
            while got := self._check(
                self._lib.nfs_pread(self._context, handle, _long(at), _long(len(buffer)), buffer)
            ):
                at += got
                yield buffer.raw[:got]
        finally:
            self._lib.nfs_close(self._context, handle)

    def write(self, path: str, content: bytes, *, block_bytes: int, new: bool = True) -> None:
        """Write a new file, or over the begin of one that there is."""
        most = min(block_bytes, V4_WRITE_BYTES) if self.version == 4 else block_bytes
        handle = self._open(path, os.O_WRONLY | (os.O_CREAT if new else 0))
        try:
            for at in range(0, len(content), most):
                block = content[at : at + most]
                self._check(
                    self._lib.nfs_pwrite(self._context, handle, _long(at), _long(len(block)), block)
                )
        finally:
            self._lib.nfs_close(self._context, handle)

    def _open(self, path: str, flags: int) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._check(self._lib.nfs_open(self._context, path.encode(), flags, ctypes.byref(handle)))
        return handle

    def _check(self, result: int) -> int:
        if result < 0:
            raise PeerError(self._said())
        return result

    def _said(self) -> str:
        said: bytes | None = self._lib.nfs_get_error(self._context)
        return (said or b"libnfs gave no reason").decode(errors="replace")


def _long(value: int) -> ctypes.c_uint64:
    return ctypes.c_uint64(value)
