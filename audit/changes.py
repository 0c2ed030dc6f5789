"""A change to a topology or a spec, which a failed check proposes, and how changes are put in."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from pydantic import Field

from topologies.document import Location, Source
from topologies.errors import InputError, Problem
from topologies.model import Model

Kind = Literal["topology", "spec"]
NO_PATCH: Final = Source("patch", {}, {})
_PART: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Change(Model):
    """One value of a document, replaced."""

    document: Kind
    name: str = Field(description="of the topology or the spec")
    at: str = Field(description="where, for example activities.scanning.hosts or phases[0].name")
    old: Any = Field(description="what stands there with defaults written out; null is nothing")
    new: Any
    check: str = Field(description="that proposes it; several with commas between them")
    because: str = Field(description="in words, with what was measured")
    decide: bool = Field(False, description="for people to decide: never put in without them")

    @property
    def place(self) -> Location:
        """``at`` as keys and indices."""
        return tuple(
            int(index) if index else key for key, index in _PART.findall(self.at) if key or index
        )

    def __str__(self) -> str:
        old = "nothing" if self.old is None else _short(self.old)
        return f"{self.at}: {old} -> {_short(self.new)}"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    return str(value)


def found(values: Any, place: Location) -> Any:
    """What stands at a place of plain values; None where nothing does."""
    for part in place:
        of_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not of_list and not (isinstance(values, Mapping) and part in values):
            return None
        values = values[part]
    return values


def changed(
    values: Mapping[str, Any], changes: Iterable[Change], patch: Source | None = None
) -> dict[str, Any]:
    """Plain values of a document with changes put in.

    Parameters
    ----------
    values
        The document with every default written out.
    patch
        The patch file, which errors name with the line.

    Raises
    ------
    InputError
        What stands in the document is not what a change says; all such changes are listed.
    """
    made = copy.deepcopy(dict(values))
    problems = []
    for change in changes:
        there = found(made, change.place)
        if there == change.new:
            continue
        if there != change.old:
            problems.append(_other(patch, change, there))
        elif not _put(made, change.place, change.new):
            problems.append(_nowhere(patch, change))
    if problems:
        raise InputError(problems)
    return made


def _put(values: dict[str, Any], place: Location, new: object) -> bool:
    """Put a value in a place; its parents are made where they are missing, items of lists not."""
    here: Any = values
    for part in place[:-1]:
        if isinstance(here, dict) and isinstance(part, str):
            here = here.setdefault(part, {})
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            return False
    last = place[-1] if place else None
    if isinstance(here, dict) and isinstance(last, str):
        here[last] = copy.deepcopy(new)
        return True
    if isinstance(here, list) and isinstance(last, int) and last < len(here):
        here[last] = copy.deepcopy(new)
        return True
    return False


def _place(patch: Source | None, change: Change, key: str) -> Location:
    """Where a patch says something of a change."""
    listed = found(patch.values, ("changes",)) if patch else None
    numbers = (
        number
        for number, one in enumerate(listed or ())
        if one["name"] == change.name and one["at"] == change.at
    )
    return ("changes", next(numbers, 0), key)


def _other(patch: Source | None, change: Change, there: object) -> Problem:
    return (patch or NO_PATCH).problem(
        _place(patch, change, "old"),
        expected=f"what stands at {change.at} of {change.document} '{change.name}': {there}",
        got=str(change.old),
        remedy="it has been changed since the audit: correct the patch, or audit again",
    )


def _nowhere(patch: Source | None, change: Change) -> Problem:
    return (patch or NO_PATCH).problem(
        _place(patch, change, "at"),
        expected=f"a place in {change.document} '{change.name}'",
        got=change.at,
        remedy="write keys with dots between them, and items as phases[0]",
    )


def combined(changes: Iterable[Change]) -> tuple[Change, ...]:
    """One change for each place, those of the first checks first.

    Lists that grow are joined. Of numbers that go the same way the one that goes farther counts, of
    those that go both ways the first.
    """
    kept: dict[tuple[str, str, str], Change] = {}
    for change in changes:
        key = (change.document, change.name, change.at)
        kept[key] = _together(kept[key], change) if key in kept else change
    return tuple(kept.values())


def _together(one: Change, other: Change) -> Change:
    if one.old != other.old:
        return one
    if isinstance(one.new, list) and isinstance(other.new, list):
        if not _grows(one) or not _grows(other):
            return one
        new: Any = [*one.new, *(item for item in other.new if item not in one.new)]
    elif _number(one.new) and _number(other.new) and _number(one.old):
        if (one.new > one.old) != (other.new > other.old):
            return one
        new = max((one.new, other.new), key=lambda value: abs(value - one.old))
    else:
        new = one.new
    checks = dict.fromkeys([*one.check.split(", "), *other.check.split(", ")])
    reasons = dict.fromkeys([*one.because.split("; "), *other.because.split("; ")])
    said = {"new": new, "check": ", ".join(checks), "because": "; ".join(reasons)}
    return one.model_copy(update=said)


def _grows(change: Change) -> bool:
    return isinstance(change.old, list) and all(item in change.new for item in change.old)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
