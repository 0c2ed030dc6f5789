"""Object code as one block of bytes that runs wherever it is put.

The core's loops call nothing but each other and keep nothing between calls, so all that is left to
link are distances within the block: from an instruction to a constant or to a function.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

X86_64: Final = 62
PC32, PLT32 = 2, 4  # both: where the symbol is, seen from here
SYMBOLS, RELOCATIONS = 2, 4  # kinds of sections
WRITE, ALLOCATED = 1, 2  # flags of sections
ALIGNMENT: Final = 64
NOT_CODE: Final = (b".eh_frame", b".note")  # for debuggers and the linker


class UnlinkableError(Exception):
    """The code needs more than distances within itself."""


class Flat(NamedTuple):
    """Machine code and where in it the function begins."""

    code: bytes
    entry: int


class _Section(NamedTuple):
    name: bytes
    kind: int
    flags: int
    data: bytes
    of: int  # what relocations relate to


class _Symbol(NamedTuple):
    name: bytes
    section: int
    value: int


def flat(elf: bytes, name: str) -> Flat:
    """Link relocatable x86-64 ELF, for the function ``name``.

    Raises
    ------
    UnlinkableError
        It is for another machine, writes to variables of its own, or calls something outside.
    """
    if struct.unpack_from("<H", elf, 18)[0] != X86_64:
        raise UnlinkableError("object code of another machine")
    sections = list(_sections(elf))
    code, places = bytearray(), {}
    for number, section in enumerate(sections):
        if section.flags & ALLOCATED and not section.name.startswith(NOT_CODE):
            if section.flags & WRITE and section.data:
                raise UnlinkableError(f"{section.name.decode()} is written to")
            code += bytes(-len(code) % ALIGNMENT)
            places[number] = len(code)
            code += section.data
    symbols = list(_symbols(sections))
    for section in sections:
        if section.kind == RELOCATIONS and section.of in places:
            _relocate(code, section, places, symbols)
    wanted = name.encode()
    entry = next(symbol for symbol in symbols if symbol.name == wanted)
    return Flat(bytes(code), places[entry.section] + entry.value)


def _sections(elf: bytes) -> Iterator[_Section]:
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names_at = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, table + size * n) for n in range(count)]
    names = headers[names_at][4]
    for header in headers:
        begin = names + header[0]
        name = elf[begin : elf.index(b"\0", begin)]
        yield _Section(
            name, header[1], header[2], elf[header[4] : header[4] + header[5]], header[7]
        )


def _symbols(sections: list[_Section]) -> Iterator[_Symbol]:
    table = next(section for section in sections if section.kind == SYMBOLS)
    names = next(section.data for section in sections if section.name == b".strtab")
    for begin, _, _, section, value, _ in struct.iter_unpack("<IBBHQQ", table.data):
        yield _Symbol(names[begin : names.index(b"\0", begin)], section, value)


def _relocate(
    code: bytearray, section: _Section, places: dict[int, int], symbols: list[_Symbol]
) -> None:
    for offset, info, addend in struct.iter_unpack("<QQq", section.data):
        symbol, kind = symbols[info >> 32], info & 0xFFFFFFFF
        if kind not in (PC32, PLT32) or symbol.section not in places:
            raise UnlinkableError(f"relocation {kind} to {symbol.name.decode()!r}")
        at = places[section.of] + offset
        distance = places[symbol.section] + symbol.value + addend - at
        struct.pack_into("<i", code, at, distance)
