"""The audit's gate: whether a dataset may be learnt from."""

from __future__ import annotations

import json
from pathlib import Path

from topologies.errors import GateError, InputError, Problem


def require_release(dataset: Path, *, accept: bool) -> None:
    """Raise GateError unless the audit released the dataset or the user accepts it as it is.

    Raises
    ------
    InputError
        ``audit.json`` cannot be read.
    """
    if accept:
        return
    file = dataset / "audit.json"
    if not file.is_file():
        raise GateError(f"{dataset}: not audited; audit it first, or accept it as it is")
    try:
        released = json.loads(file.read_text(encoding="utf-8"))["released"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            Problem(str(file), "", "a mapping with 'released'", repr(error), "audit it again")
        ) from error
    if released is not True:
        raise GateError(
            f"{dataset}: the audit did not release it; see {file.name}, mend what it found, "
            "or accept the dataset as it is"
        )
