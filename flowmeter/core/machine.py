"""Machine code kept on disk: where it lies, whether it still holds, and how it is loaded.

A file is a line of JSON and the code itself, which runs in place: it is mapped, not read. What does
not fit (other sources, another processor, damage) is passed over, and compiled anew.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from topologies.files import replacing

ALIGNMENT: Final = 64  # of the code in a file
CPU_LINES: Final = ("flags", "model name")


class Code(NamedTuple):
    """A compiled function.

    Attributes
    ----------
    entry
        Offset in ``code`` where it begins.
    signature
        Types of its arguments: of numbers which, of others what.
    result
        What it returns, as `struct` names it.
    """

    code: bytes
    entry: int
    signature: tuple[str, ...]
    result: str


class Loaded(NamedTuple):
    """Code in memory, which stays for as long as this does."""

    address: int
    signature: tuple[str, ...]
    result: str
    memory: mmap.mmap


def find(name: str, key: str) -> Loaded | None:
    """What was kept under that name for that key, if it is there and whole."""
    for folder in _folders():
        try:
            with (folder / _file_name(name)).open("rb") as file:
                return _load(file.fileno(), key)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def keep(name: str, key: str, code: Code) -> Loaded:
    """Write it to the first folder that can be written, else to memory only; load it.

    Raises
    ------
    OSError
        The machine lets no file be executed.
    """
    data = _packed(key, code)
    for folder in _folders():
        try:
            with replacing(folder / _file_name(name)) as temporary:
                temporary.write_bytes(data)
        except OSError:
            continue
        loaded = find(name, key)
        if loaded:
            return loaded
    handle = os.memfd_create(name)
    try:
        os.write(handle, data)
        return _load(handle, key)
    finally:
        os.close(handle)


@cache
def sources() -> str:
    """Changes with every file that holds compiled functions or what they use, and with numba."""
    digest = blake2b(digest_size=16)
    package = Path(__file__).parents[1]
    for path in sorted([*package.glob("core/*.py"), *package.glob("input/*.py")]):
        digest.update(path.read_bytes())
    for library in ("numba", "llvmlite"):
        found = find_spec(library)
        if found and found.origin:
            digest.update(Path(found.origin).with_name("_version.py").read_bytes())
    return digest.hexdigest()


def _packed(key: str, code: Code) -> bytes:
    head = {
        "key": key,
        "entry": code.entry,
        "signature": code.signature,
        "result": code.result,
        "digest": _digest(code.code),
    }
    line = json.dumps(head).encode()
    return line + b" " * (-len(line) % ALIGNMENT + ALIGNMENT - 1) + b"\n" + code.code


def _load(handle: int, key: str) -> Loaded:
    """Map a file; ValueError, KeyError, TypeError: it is not what was asked for."""
    memory = mmap.mmap(handle, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    begin = memory.find(b"\n") + 1
    head = json.loads(memory[:begin])
    if head["key"] != key or head["digest"] != _digest(memory[begin:]):
        raise ValueError("other code, or damaged")
    address = np.frombuffer(memory, np.uint8).ctypes.data + begin + int(head["entry"])
    return Loaded(address, tuple(head["signature"]), head["result"], memory)


def _digest(code: bytes) -> str:
    return blake2b(code, digest_size=16).hexdigest()


def _file_name(name: str) -> str:
    return f"{name}-{_processor()}.code"


def _folders() -> Iterator[Path]:
    """Where code is kept, the best first."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen)
        return
    yield Path(__file__).with_name("__pycache__")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    yield Path(home) / "gsta"


@cache
def _processor() -> str:
    """Tells apart processors that may not run each other's code."""
    with Path("/proc/cpuinfo").open() as file:
        lines = file.read(1 << 14).split("\n\n")[0].splitlines()
    told = [line for line in lines if line.startswith(CPU_LINES)]
    return blake2b("\n".join(told).encode(), digest_size=4).hexdigest()
