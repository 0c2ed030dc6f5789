"""A recording of features as LLVM code: a loop over flows, from columns to columns."""

from __future__ import annotations

import struct
from typing import Any, Final

from flowmeter.core.machine import WORDS_AT
from flowmeter.features.recording import COMPARISONS, EXTREMES, Dtype, Recording, Step

NAMES: Final = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div",
    "bitwise_and": "and", "bitwise_or": "or",
}  # fmt: skip
ORDERS: Final = {
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "equal": "eq",
    "not_equal": "ne",
}  # fmt: skip
# Columns do not overlap, so flows may be taken several at a time.
LOOP: Final = """
declare double @llvm.sqrt.f64(double)
define i32 @{entry}(ptr noalias %block) {{
start:
  %count.at = getelementptr i8, ptr %block, i64 {count_at}
  %count = load i64, ptr %count.at
{addresses}
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %flow, label %end
flow:
  %i = phi i64 [0, %start], [%next, %flow]
{body}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %flow, label %end, !llvm.loop !1
end:
  ret i32 0
}}
!0 = distinct !{{}}
!1 = distinct !{{!1, !2}}
!2 = !{{!"llvm.loop.parallel_accesses", !0}}
"""


def lowered(recording: Recording, entry: str) -> str:
    """LLVM code for ``recording``.

    What is handed over (`flowmeter.core.jit`) is how many flows there are, then the address of each
    of the inputs, whose columns follow each other, then of each output.
    """
    inputs = recording.inputs
    addresses: list[str] = []
    for column in range(len(inputs) + len(recording.outputs)):
        addresses += [
            f"%word{column} = getelementptr i8, ptr %block, i64 {WORDS_AT + 8 * (1 + column)}",
            f"%column{column} = load ptr, ptr %word{column}",
        ]
    body: list[str] = []
    for number, step in enumerate(recording.steps):
        if step.name == "load":
            record, field, place = step.arguments
            body += _loaded(number, step, inputs.index((record, field)), place)
        else:
            body += _done(recording, number, step)
    for column, number in enumerate(recording.outputs.values(), len(inputs)):
        kind = _kind(recording.steps[number].dtype)
        body += [
            f"%to{column} = getelementptr {kind}, ptr %column{column}, i64 %i",
            f"store {kind} {_value(recording, number)}, ptr %to{column}, !llvm.access.group !0",
        ]
    return LOOP.format(
        entry=entry, count_at=WORDS_AT,
        addresses="\n".join(addresses), body="\n".join(body),
    )  # fmt: skip


def _loaded(number: int, step: Step, column: int, place: int) -> list[str]:
    """The lines that load a flow's number from one of the columns of an input."""
    kind = _kind(step.dtype)
    return [
        f"%before{number} = mul i64 %count, {place}",
        f"%place{number} = add i64 %before{number}, %i",
        f"%from{number} = getelementptr {kind}, ptr %column{column}, i64 %place{number}",
        f"%v{number} = load {kind}, ptr %from{number}, !llvm.access.group !0",
    ]


def _done(recording: Recording, number: int, step: Step) -> list[str]:
    """The lines that do a step."""
    if step.name == "constant":
        return []
    values = [_value(recording, argument) for argument in step.arguments]
    of = recording.steps[step.arguments[-1]].dtype
    kind = _kind(of)
    both = f"{kind} {', '.join(values)}"
    lines: list[str] = []
    if step.name == "cast":
        does = f"{_cast(of, step.dtype)} {both} to {_kind(step.dtype)}"
    elif step.name == "where":
        does = f"select i1 {values[0]}, {kind} {values[1]}, {kind} {values[2]}"
    elif step.name == "sqrt":
        does = f"call double @llvm.sqrt.f64({both})"
    elif step.name in COMPARISONS:
        does = f"{_compare(of, step.name)} {both}"
    elif step.name in EXTREMES:
        order = _compare(of, "less" if step.name == "minimum" else "greater")
        lines = [f"%first{number} = {order} {both}"]
        does = f"select i1 %first{number}, {kind} {values[0]}, {kind} {values[1]}"
    else:
        does = f"{'f' if of.kind == 'f' else ''}{NAMES[step.name]} {both}"
    return [*lines, f"%v{number} = {does}"]


def _kind(dtype: Dtype) -> str:
    if dtype.kind == "f":
        return "double" if dtype.itemsize == 8 else "float"
    return "i1" if dtype.kind == "b" else f"i{8 * dtype.itemsize}"


def _value(recording: Recording, number: int) -> str:
    step = recording.steps[number]
    if step.name != "constant":
        return f"%v{number}"
    value: Any = step.arguments[0]
    if step.dtype.kind == "f":  # by its bits
        return f"0x{struct.pack('>d', float.fromhex(value)).hex().upper()}"
    return str(value)


def _compare(of: Dtype, name: str) -> str:
    order = ORDERS[name]
    if of.kind == "f":
        return f"fcmp {'une' if name == 'not_equal' else 'o' + order}"
    if order in ("eq", "ne"):
        return f"icmp {order}"
    return f"icmp {'s' if of.kind == 'i' else 'u'}{order}"


def _cast(of: Dtype, to: Dtype) -> str:
    if of.kind == "f":
        if to.kind == "f":
            return "fptrunc" if to.itemsize < of.itemsize else "fpext"
        return "fptosi"
    if to.kind == "f":
        return "sitofp" if of.kind == "i" else "uitofp"
    if to.itemsize < of.itemsize:
        return "trunc"
    if to.itemsize == of.itemsize and of.kind != "b":
        return "bitcast"
    return "sext" if of.kind == "i" else "zext"
