"""Machine code kept on disk: where it lies, whether it still holds, and how it is loaded.

A file is a checksum of the rest, a line of JSON, and the code itself. What does not fit (other
sources, another processor, damage) is passed over, and compiled anew.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from topologies.files import replacing

ALIGNMENT: Final = 64  # of the code in a file
DIGEST_BYTES: Final = 16
# What is handed over, in bytes from its beginning: the result at 0, then
ERROR_AT, WORDS_AT = 64, 72
OBJECT_BYTES: Final = object.__basicsize__  # what every Python object begins with
COMPILED: Final = ("core", "features", "input")  # folders of what becomes machine code
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
            return _load((folder / _file_name(name)).read_bytes(), key)
        except (OSError, ValueError):
            continue
    return None


def keep(name: str, key: str, code: Code) -> Loaded:
    """Load it, and write it to the first folder that can be written, if there is one.

    Raises
    ------
    OSError
        The machine runs no code but that of its programs.
    """
    data = _packed(key, code)
    loaded = _load(data, key)
    for folder in _folders():
        with suppress(OSError):
            with replacing(folder / _file_name(name)) as temporary:
                temporary.write_bytes(data)
            break
    return loaded


@cache
def sources() -> str:
    """Changes with every file that holds compiled functions or what they use, and with numba."""
    digest = blake2b(b"%d" % OBJECT_BYTES, digest_size=16)
    package = Path(__file__).parents[1]
    for path in sorted(path for folder in COMPILED for path in package.glob(f"{folder}/*.py")):
        digest.update(path.read_bytes())
    for library in ("numba", "llvmlite"):
        found = find_spec(library)
        if found and found.origin:
            digest.update(Path(found.origin).with_name("_version.py").read_bytes())
    return digest.hexdigest()


def _packed(key: str, code: Code) -> bytes:
    about = [key, code.entry, code.signature, code.result]
    line = json.dumps(about).encode()
    line += b" " * (-(DIGEST_BYTES + len(line) + 1) % ALIGNMENT) + b"\n"
    return _digest(line + code.code) + line + code.code


def _load(data: bytes, key: str) -> Loaded:
    """Put a file's content where it can run; ValueError: it is not what was asked for."""
    if data[:DIGEST_BYTES] != _digest(data[DIGEST_BYTES:]):
        raise ValueError("damaged")
    begin = data.index(b"\n", DIGEST_BYTES) + 1
    its_key, entry, signature, result = json.loads(data[DIGEST_BYTES:begin])
    if its_key != key:
        raise ValueError("other code")
    handle = os.memfd_create("flowmeter")  # memory that runs must not be memory that is written to
    try:
        os.write(handle, data)
        memory = mmap.mmap(
            handle, len(data), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC
        )
    finally:
        os.close(handle)
    address = np.frombuffer(memory, np.uint8).ctypes.data + begin + entry
    return Loaded(address, tuple(signature), result, memory)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def _file_name(name: str) -> str:
    return f"{name}-{_processor()}.code"


def _folders() -> Iterator[Path]:
    """Where code is kept, the best first."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen)
        return
    yield Path(__file__).with_name("__pycache__")
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    if home.is_absolute():
        yield home / "gsta"


@cache
def _processor() -> str:
    """Tells apart processors that may not run each other's code."""
    with Path("/proc/cpuinfo").open() as file:
        lines = file.read(1 << 14).split("\n\n")[0].splitlines()
    told = [line for line in lines if line.startswith(CPU_LINES)]
    return blake2b("\n".join(told).encode(), digest_size=4).hexdigest()
