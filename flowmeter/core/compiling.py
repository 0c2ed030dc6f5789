"""The one door to numba: a Python function to machine code that needs numba no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numba
from llvmlite import binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.registry import cpu_target
from numba.np.numpy_support import as_dtype

from flowmeter.core.elf import UnlinkableError, flat
from flowmeter.core.machine import ERROR_AT, OBJECT_BYTES, WORDS_AT, Code, sources

# Any: what numba says of its own types is not all there is.
types: Any = numba.types
OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "nogil": True}
# Leaving out what Python would need to call it saves a third of the compile time.
UNNEEDED: Final[dict[str, Any]] = {
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False, "no_rewrites": True
}  # fmt: skip
NEEDLESS: Final = ("inline_closure_likes", "inline_inlinables", "inline_overloads")
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
FORMATS: Final[dict[Any, str]] = {
    types.int64: "q",
    types.uint64: "Q",
    types.float64: "d",
    types.boolean: "?",
    types.none: "",
}


class _Lean(CompilerBase):
    """Numba's compiler without the passes that look for what no function of ours has."""

    def define_pipelines(self) -> list[Any]:
        builder: Any = DefaultPassBuilder
        passes = builder.define_nopython_pipeline(self.state)
        passes.passes = [item for item in passes.passes if item[0].name() not in NEEDLESS]
        passes.finalize()
        return [passes]


def inner(function: Callable[..., Any]) -> Any:
    """What numba makes of a function that only compiled ones call."""
    return numba.njit(function, pipeline_class=_Lean, **OPTIONS, **UNNEEDED)


def callable_by_numba(function: Callable[..., Any]) -> Any:
    """What Python can call, kept by numba itself, if it finds a folder to write in."""
    try:
        dispatcher: Any = numba.njit(function, cache=True, **OPTIONS)
    except RuntimeError:
        return numba.njit(function, **OPTIONS)
    # numba renews kept code when its own file changes, but not when a helper's does.
    dispatcher._cache._cache_file._source_stamp = sources()
    return dispatcher


def machine_code(dispatcher: Any, arguments: tuple[object, ...]) -> Code:
    """Compile for the types of these arguments.

    Raises
    ------
    UnlinkableError
        The code cannot stand alone, or is called otherwise than `flowmeter.core.jit` does.
    """
    signature = tuple(map(numba.typeof, arguments))
    with _unfinished_parts():
        dispatcher.compile(signature)
    result = dispatcher.overloads[signature]
    name = result.fndesc.llvm_func_name
    caller, handed = _caller(name, signature)
    module = llvm.parse_assembly(result.library.get_llvm_str() + caller + _fillers())
    if [str(argument.type) for argument in module.get_function(name).arguments] != handed:
        raise UnlinkableError(f"{name} is called otherwise")
    returned: Any = result.signature.return_type
    kinds = getattr(returned, "types", (returned,))
    if not FORMATS.keys() >= set(kinds):
        raise UnlinkableError(f"{name} returns {returned}")
    for function in module.functions:
        if not function.is_declaration and function.name not in (ENTRY, *FILLERS):
            function.linkage = "internal"
    linked = flat(_object_code(module), ENTRY)
    return Code(
        code=linked.code,
        entry=linked.entry,
        signature=tuple(map(_named, signature)),
        result="".join(FORMATS[kind] for kind in kinds),
    )


def _named(kind: Any) -> str:
    return str(kind) if isinstance(kind, types.Number | types.Boolean) else type(kind).__name__


def _caller(name: str, signature: tuple[Any, ...]) -> tuple[str, list[str]]:
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
    code = f"\ndefine i32 @{ENTRY}(ptr %block) {{\n{body}\nret i32 {status}\n}}\n"
    return code, [each.split()[0] for each in handed]


def _fillers() -> str:
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


def _object_code(module: llvm.ModuleRef) -> bytes:
    """For this processor, to run wherever it is put."""
    features = llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc="pic", codemodel="small"
    )
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    code: bytes = machine.emit_object(module)
    return code


class _Part(JITCodeLibrary):
    """A function that becomes a part of others: optimized and made machine code only in those."""

    def _optimize_functions(self, module: object) -> None: ...

    def _optimize_final_module(self) -> None: ...

    def _finalize_final_module(self) -> None:
        self._finalized = True


@contextmanager
def _unfinished_parts() -> Iterator[None]:
    codegen: Any = cpu_target.target_context.codegen()
    codegen._library_class = _Part
    codegen.set_env = lambda *_: None
    try:
        yield
    finally:
        del codegen._library_class, codegen.set_env
