"""The few Linux calls that Python 3.11 lacks; standard library only, for what starts in a host."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 0x1000, 0x4000, 1 << 18, 1 << 19, 1 << 20
MNT_DETACH: Final = 2

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces."""
    _checked(_libc.unshare(flags), "unshare")


def setns(handle: int, kind: int) -> None:
    """Move the calling thread into the namespace behind an open file."""
    _checked(_libc.setns(handle, kind), "setns")


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    """Call mount(2)."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _checked(result, f"mount {target}")


def unmount(target: Path) -> None:
    """Detach a mount at once; it goes when its last user goes."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def set_hostname(name: str) -> None:
    """Host name of the thread's UTS namespace."""
    text = name.encode()
    _checked(_libc.sethostname(text, ctypes.c_size_t(len(text))), "sethostname")


def die_with_parent(signal_number: int) -> None:
    """Receive a signal when the parent thread ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PDEATHSIG")


def keep_capabilities(kept: Collection[int]) -> None:
    """Give up every capability but ``kept`` (numbers of capabilities(7)), for good.

    The bounding set goes too and no_new_privs is set, so no later exec brings any back.
    """
    _checked(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl AMBIENT")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for number in range(last + 1):
        if number not in kept:
            _checked(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl CAPBSET_DROP")
    words = _permitted()
    wanted = [sum(1 << (n % 32) for n in kept if n // 32 == word) for word in (0, 1)]
    low, high = (have & want for have, want in zip(words, wanted, strict=True))
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)), "capset")
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")


def _permitted() -> tuple[int, int]:
    data = ctypes.create_string_buffer(24)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capget(header, data), "capget")
    words: tuple[int, ...] = struct.unpack("=6I", data.raw)
    return words[1], words[4]


def isolated(module: str) -> list[str]:
    """Command that runs ``main`` of a standard-library-only module of ours, as fast as can be."""
    root = str(Path(__file__).resolve().parents[1])
    code = (
        f"import sys; sys.path.insert(0, {root!r}); "
        f"from {module} import main; sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-I", "-S", "-c", code]
