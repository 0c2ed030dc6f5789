"""How the core's loops become machine code, and how Python calls it.

The functions are Python, and numba compiles them: at the first use ever, which takes seconds. What
comes out is plain machine code that needs nothing around it, so it is kept in a file
(`flowmeter.core.machine`), and later processes put that into memory and jump into it. They never
load numba, which would cost half a second and 100 MB.

A call hands over one block of words of 64 bits: room for the result and for an error, then a word
for each argument: an integer as it is, of a record the address, of an array the address of the
array object. A tuple is its items. The code begins with what `flowmeter.core.compiling` puts in
front of numba's own, which takes the block apart.

Where that does not work (no x86-64, no right to map code), numba compiles, keeps and calls as it
always does: slower to start, never an error.
"""

from __future__ import annotations

import ctypes
import gc
import os
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import blake2b
from threading import RLock
from typing import Any, Final, TypeVar, cast

import numpy as np

from flowmeter.core.machine import OBJECT_BYTES, WORDS_AT, Loaded, find, keep, sources

Function = TypeVar("Function", bound=Callable[..., Any])
COMPILING: Final = RLock()
WORD: Final = 2**64 - 1
NUMBERS: Final[dict[type, np.dtype[Any]]] = {}  # those that were handed over


def _runs() -> bool:
    """Whether code from files runs here, and an array object begins with the array's address."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return False
    probe = np.zeros(1)
    return ctypes.c_void_p.from_address(id(probe) + OBJECT_BYTES).value == probe.ctypes.data


RUNS: Final = _runs()


def helper(function: Function) -> Function:
    """For a function that only compiled ones call: it becomes a part of theirs."""
    return cast(Function, Inner(function))


def compiled(function: Function) -> Function:
    """For a function that Python calls; compiled at the first call, found again by later ones."""
    return cast(Function, Loop(function))


class Inner:
    """A function that numba compiles when it compiles one that calls this."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's own object for it."""
        from flowmeter.core.compiling import inner

        return inner(self.py_func)

    @property
    def _numba_type_(self) -> Any:
        """What numba takes it for when it meets it in another function."""
        return self.dispatcher._numba_type_

    @property
    def signatures(self) -> list[tuple[str, ...]]:
        """Types of arguments that it was compiled for in this process."""
        if "dispatcher" not in vars(self):
            return []
        return [tuple(map(str, signature)) for signature in self.dispatcher.signatures]


class Loop(Inner):
    """A compiled function that Python calls; it lets go of Python's lock."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._entries: dict[tuple[object, ...], Entry] = {}
        self._by_numba: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Run it; compile it first if that has never been done for such arguments."""
        if self._by_numba:
            return self._by_numba(*arguments)
        words = [0] * (WORDS_AT // 8)
        kinds = tuple(_put(argument, words) for argument in arguments)
        entry = self._entries.get(kinds)
        if entry is None:
            with COMPILING:
                entry = self._entries.get(kinds) or self._entry(kinds, arguments)
            if entry is None:
                return self._by_numba(*arguments)
        return entry(words)

    @property
    def signatures(self) -> list[tuple[str, ...]]:
        """Types of arguments that it has code for."""
        return [entry.signature for entry in self._entries.values()] or super().signatures

    def _entry(self, kinds: tuple[object, ...], arguments: tuple[object, ...]) -> Entry | None:
        name = f"{self.py_func.__module__.rpartition('.')[2]}.{self.__name__}"
        key = blake2b(f"{sources()} {kinds}".encode(), digest_size=16).hexdigest()
        loaded = find(name, key) if RUNS else None
        if RUNS and loaded is None:
            loaded = self._made(name, key, arguments)
        if loaded is None:
            from flowmeter.core.compiling import callable_by_numba

            self._by_numba = callable_by_numba(self.py_func)
            return None
        self._entries[kinds] = Entry(loaded)
        return self._entries[kinds]

    def _made(self, name: str, key: str, arguments: tuple[object, ...]) -> Loaded | None:
        with _no_garbage():
            from flowmeter.core.compiling import machine_code
            from flowmeter.core.elf import UnlinkableError

            try:
                return keep(name, key, machine_code(self.dispatcher, arguments))
            except (UnlinkableError, OSError):
                return None


class Entry:
    """Machine code that can be called."""

    def __init__(self, loaded: Loaded) -> None:
        self.signature = loaded.signature
        self._result = struct.Struct(loaded.result)
        self._loaded = loaded  # the code is there as long as this
        self._call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(loaded.address)

    def __call__(self, words: list[int]) -> Any:
        """Call it with what is handed over, after room for the result and an error."""
        block = array("Q", words)
        status = self._call(block.buffer_info()[0])
        if status:
            raise RuntimeError(f"compiled code ended with {status}")
        result = self._result.unpack_from(block)
        if len(result) > 1:
            return result
        return result[0] if result else None


def _put(argument: Any, words: list[int]) -> object:
    """Append what is handed over for an argument; what code must be compiled for it."""
    if isinstance(argument, np.ndarray):
        if not argument.flags.carray:
            raise TypeError("compiled loops take arrays that are contiguous and may be written to")
        words.append(id(argument))
        return argument.dtype, argument.ndim
    if isinstance(argument, tuple):
        return tuple(_put(item, words) for item in argument)
    if isinstance(argument, np.void):
        words.append(np.frombuffer(argument, np.uint8).ctypes.data)
        return argument.dtype
    kind = NUMBERS.get(type(argument)) or _number(type(argument))
    words.append(int(argument) & WORD)  # below 0 as its two's complement
    return kind


def _number(kind: type) -> np.dtype[Any]:
    """What a number of this type is to numpy."""
    number = np.dtype(kind)
    if number.kind not in "iub":
        raise TypeError(f"compiled loops take no {kind.__name__}")
    NUMBERS[kind] = number
    return number


@contextmanager
def _no_garbage() -> Iterator[None]:
    """The compiler keeps what it makes: looking for garbage takes a tenth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
