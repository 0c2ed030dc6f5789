"""How numba compiles `flowmeter.core.prefetch.prefetch`."""

from __future__ import annotations

from typing import Any, Final

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.extending import intrinsic
from numba.core.registry import cpu_target

types: Any = numba.types
TO_READ_DATA_SOON: Final = (0, 3, 1)  # of LLVM's prefetch


def prefetching() -> Any:
    """What numba takes `flowmeter.core.prefetch.prefetch` for."""
    context: Any = cpu_target.typing_context
    prefetch = intrinsic(_prefetch)
    context.refresh()
    return context.resolve_value_type(prefetch)


def _prefetch(_: object, memory: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, _: object, arguments: Any) -> None:
        address, offset = arguments
        if isinstance(memory, types.Array):
            address = context.make_array(memory)(context, builder, address).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        insert: Any = cgutils.get_or_insert_function
        hint = insert(builder.module, kind, "llvm.prefetch.p0")
        place = builder.gep(builder.bitcast(address, byte), [offset])
        builder.call(hint, [place, *(word(number) for number in TO_READ_DATA_SOON)])

    return types.void(memory, at), generate
