"""The door to numba: a Python function to machine code that needs numba no more."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import numba
from llvmlite import binding as llvm
from numba.core import base, cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.registry import cpu_target

from flowmeter.core.elf import UnlinkableError, flat
from flowmeter.core.entering import ENTRY, FILLERS, caller, fillers
from flowmeter.core.machine import Code, sources

# Python looks for garbage once more when it ends: half a second, among all that numba has made.
atexit.register(gc.freeze)
# Any: what numba says of its own types is not all there is.
types: Any = numba.types
OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "nogil": True}
# Leaving out what Python would need to call it saves a third of the compile time.
UNNEEDED: Final[dict[str, Any]] = {
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False, "no_rewrites": True
}  # fmt: skip
NEEDLESS: Final = (
    "annotate_types", "dump_parfor_diagnostics", "find_literally", "inline_closure_likes",
    "inline_inlinables", "inline_overloads", "ir_legalization", "literal_unroll",
    "LiteralPropagation", "make_function_op_code_to_jit_function",
    "nopython_supported_feature_validation", "Rewrite dynamic raises", "with_lifting",
)  # fmt: skip
# What numba finds out thousands of times, mostly the same: a third of the compile time.
ASKED_AGAIN: Final[tuple[tuple[Any, str], ...]] = (
    (types.BaseFunction, "get_call_type"),
    (types.Record, "__repr__"),
    (base, "_has_loc"),
    (base.BaseContext, "get_abi_sizeof"),
)
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
    with _unfinished_parts(), _answers_kept():
        dispatcher.compile(signature)
    result = dispatcher.overloads[signature]
    name = result.fndesc.llvm_func_name
    entry, handed = caller(name, signature)
    module = _whole(result.library)
    module.link_in(llvm.parse_assembly(entry + fillers()))
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


def assembled(text: str, about: tuple[str, ...]) -> Code:
    """Compile LLVM code of a function `ENTRY` that is called as a loop is, and returns nothing."""
    llvm.initialize_native_target()  # as numba does when it compiles its first function
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    linked = flat(_object_code(module), ENTRY)
    return Code(code=linked.code, entry=linked.entry, signature=about, result="")


def _named(kind: Any) -> str:
    return str(kind) if isinstance(kind, types.Number | types.Boolean) else type(kind).__name__


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
    """A function that becomes a part of others: text until those are optimized and made code."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)  # type: ignore[no-untyped-call]
        self.texts: list[str] = []

    def add_ir_module(self, module: object) -> None:
        text = cgutils.normalize_ir_text(str(module))  # type: ignore[no-untyped-call]
        self.texts.append(text)

    def finalize(self) -> None:
        self._finalized = True

    def _get_module_for_linking(self) -> llvm.ModuleRef:
        module = _whole(self)
        for function in module.functions:
            if not function.is_declaration:
                function.linkage = "linkonce_odr"
        return module


def _whole(library: Any) -> llvm.ModuleRef:
    """A function with all that it calls, directly or not."""
    module = llvm.parse_assembly("")
    met, coming = set(), [library]
    while coming:
        part = coming.pop()
        if part in met:
            continue
        met.add(part)
        if isinstance(part, _Part):
            coming += part._linking_libraries
            for text in part.texts:
                module.link_in(llvm.parse_assembly(text))
        else:  # of numba's own, compiled before
            module.link_in(part._get_module_for_linking(), preserve=True)
    return module


@contextmanager
def _unfinished_parts() -> Iterator[None]:
    codegen: Any = cpu_target.target_context.codegen()
    codegen._library_class = _Part
    codegen.set_env = lambda *_: None
    try:
        yield
    finally:
        del codegen._library_class, codegen.set_env


@contextmanager
def _answers_kept() -> Iterator[None]:
    """Let numba remember what it would find out again and again."""
    asked = [(owner, name, vars(owner)[name]) for owner, name in ASKED_AGAIN if name in vars(owner)]
    for owner, name, function in asked:
        setattr(owner, name, _kept(function))
    try:
        yield
    finally:
        for owner, name, function in asked:
            setattr(owner, name, function)


@cache
def _kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep its results, but no errors, and nothing of calls with keywords, which are rare."""
    results: dict[object, Any] = {}

    def asked(*question: Any) -> Any:
        if isinstance(question[-1], dict):
            if question[-1]:
                return function(*question)
            key = question[:-1]
        else:
            key = question
        if key not in results:
            results[key] = function(*question)
        return results[key]

    return asked
