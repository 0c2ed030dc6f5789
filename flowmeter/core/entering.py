"""LLVM code around what numba makes: in front of it, and in place of the C library behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from numba import types as numba_types
from numba.np.numpy_support import as_dtype

from flowmeter.core.machine import ERROR_AT, OBJECT_BYTES, WORDS_AT

types: Any = numba_types
ENTRY: Final = "loop"
# What LLVM calls to copy or fill more than a few bytes: from the C library, unless it is here.
FILLERS: Final = {
    "memcpy": ("ptr %from", "%at = getelementptr i8, ptr %from, i64 %n\n%it = load i8, ptr %at"),
    "memset": ("i32 %byte", "%it = trunc i32 %byte to i8"),
}
FILLER: Final = """
define ptr @{name}(ptr %to, {source}, i64 %count) "no-builtins" {{
  br label %check
check:
  %n = phi i64 [0, %0], [%next, %one]
  %done = icmp eq i64 %n, %count
  br i1 %done, label %end, label %one
one:
  {item}
  %place = getelementptr i8, ptr %to, i64 %n
  store i8 %it, ptr %place
  %next = add i64 %n, 1
  br label %check
end:
  ret ptr %to
}}
"""
# Of an array object, behind what every object begins with (numpy's public PyArrayObject_fields).
DATA_AT, SHAPE_AT, STRIDES_AT = 0, 16, 24


def caller(name: str, signature: tuple[Any, ...]) -> tuple[str, list[str]]:
    """LLVM code that calls a function of numba's with what is in a block (`flowmeter.core.jit`).

    Numba's functions take the addresses of the result and of a possible error; then numbers as they
    are, records as their address, and of an array two references that count its users (none), its
    number of items, their size, its address, shape and strides. Second: the types of all that.
    """
    lines: list[str] = []
    handed = [f"ptr {_at(lines, '%block', 0)}", f"ptr {_at(lines, '%block', ERROR_AT)}"]
    for number, kind in enumerate(_leaves(signature)):
        at = WORDS_AT + 8 * number
        match kind:
            case types.Array():
                array = _load(lines, "ptr", "%block", at)
                data, shape, strides = (
                    _load(lines, "ptr", array, OBJECT_BYTES + offset)
                    for offset in (DATA_AT, SHAPE_AT, STRIDES_AT)
                )
                sizes, steps = (
                    [_load(lines, "i64", base, 8 * axis) for axis in range(kind.ndim)]
                    for base in (shape, strides)
                )
                items = "1"
                for size in sizes:
                    items = _new(lines, f"mul i64 {items}, {size}")
                handed += ["ptr null", "ptr null", f"i64 {items}"]
                handed += [f"i64 {as_dtype(kind.dtype).itemsize}", f"ptr {data}"]
                handed += [f"i64 {value}" for value in (*sizes, *steps)]
            case types.Boolean():
                handed.append(f"i8 {_load(lines, 'i8', '%block', at)}")
            case types.Integer():
                word = f"i{kind.bitwidth}"
                handed.append(f"{word} {_load(lines, word, '%block', at)}")
            case _:
                handed.append(f"ptr {_load(lines, 'ptr', '%block', at)}")
    status = _new(lines, f'call i32 @"{name}"({", ".join(handed)})')
    body = "\n".join(lines)
    kinds = [each.split()[0] for each in handed]
    code = f'\ndeclare i32 @"{name}"({", ".join(kinds)})\n'
    code += f"define i32 @{ENTRY}(ptr %block) {{\n{body}\nret i32 {status}\n}}\n"
    return code, kinds


def fillers() -> str:
    """LLVM code that copies and fills memory."""
    return "".join(
        FILLER.format(name=name, source=source, item=item)
        for name, (source, item) in FILLERS.items()
    )


def _leaves(signature: tuple[Any, ...]) -> Iterator[Any]:
    for kind in signature:
        if isinstance(kind, types.BaseTuple):
            yield from _leaves(kind.types)
        else:
            yield kind


def _new(lines: list[str], instruction: str) -> str:
    name = f"%v{len(lines)}"
    lines.append(f"{name} = {instruction}")
    return name


def _at(lines: list[str], base: str, offset: int) -> str:
    return _new(lines, f"getelementptr i8, ptr {base}, i64 {offset}")


def _load(lines: list[str], kind: str, base: str, offset: int) -> str:
    return _new(lines, f"load {kind}, ptr {_at(lines, base, offset)}")
