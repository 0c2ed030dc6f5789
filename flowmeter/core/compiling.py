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

from flowmeter.core.elf import UnlinkableError, flat
from flowmeter.core.machine import Code, sources

# Any: what numba says of its own types is not all there is.
types: Any = numba.types
OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "nogil": True}
# Leaving out what Python would need to call it saves a third of the compile time.
UNNEEDED: Final[dict[str, Any]] = {
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False, "no_rewrites": True
}  # fmt: skip
NEEDLESS: Final = ("inline_closure_likes", "inline_inlinables", "inline_overloads")
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
    module = llvm.parse_assembly(result.library.get_llvm_str())
    name = result.fndesc.llvm_func_name
    entry = module.get_function(name)
    if [str(argument.type) for argument in entry.arguments] != ["ptr", "ptr", *_words(signature)]:
        raise UnlinkableError(f"{name} is called otherwise")
    for function in module.functions:
        if not function.is_declaration and function.name != name:
            function.linkage = "internal"
    linked = flat(_object_code(module), name)
    returned: Any = result.signature.return_type
    kinds = getattr(returned, "types", (returned,))
    if not FORMATS.keys() >= set(kinds):
        raise UnlinkableError(f"{name} returns {returned}")
    return Code(
        code=linked.code,
        entry=linked.entry,
        signature=tuple(map(_named, signature)),
        result="".join(FORMATS[kind] for kind in kinds),
    )


def _named(kind: Any) -> str:
    return str(kind) if isinstance(kind, types.Number | types.Boolean) else type(kind).__name__


def _words(signature: tuple[Any, ...]) -> Iterator[str]:
    """The types of what is handed over, as LLVM names them; see `flowmeter.core.jit`."""
    for kind in signature:
        match kind:
            case types.Array():
                yield from ("ptr", "ptr", "i64", "i64", "ptr", *(2 * kind.ndim * ["i64"]))
            case types.BaseTuple():
                yield from _words(kind.types)
            case types.Boolean():
                yield "i8"
            case types.Integer():
                yield f"i{kind.bitwidth}"
            case _:
                yield "ptr"


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
