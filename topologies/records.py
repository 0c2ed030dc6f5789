"""JSON records that a stage reads back: what is wrong with one, fault by fault."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from topologies.errors import InputError, Problem


def damaged_record(path: Path, error: ValidationError, *, expected: str, remedy: str) -> InputError:
    """Every fault that a record's model found in the file at ``path``."""
    return InputError(
        Problem(
            str(path), ".".join(str(part) for part in fault["loc"]), expected, fault["msg"], remedy
        )
        for fault in error.errors()
    )
