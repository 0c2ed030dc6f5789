"""How a validator says what it expected, what it got and how to mend it."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

FAULT_TYPE = "gsta_fault"


def fault(*, expected: str, got: str, remedy: str) -> PydanticCustomError:
    """Error for a pydantic validator to raise; the document loader adds file, line and path."""
    return PydanticCustomError(
        FAULT_TYPE,
        "expected {expected}, got {got}; {remedy}",
        {"expected": expected, "got": got, "remedy": remedy},
    )
