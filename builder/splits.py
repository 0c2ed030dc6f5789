"""Which rows of a foreign table train and which judge: never at random unless that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topologies.errors import InputError, Problem

if TYPE_CHECKING:
    from audit.data import AuditData

ISO: Final = r"^\d{4}-\d{2}-\d{2}"  # text that sorts as time does
TEST_SHARE: Final = 0.3  # of the groups, or of the time, where the table says no more

Strings = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Split:
    """How to tell training from test rows; at most one of the first three, unless files do.

    Attributes
    ----------
    column
        Says train or test of each row.
    time_column
        The last rows by it are the test.
    random_share
        This share of the rows is the test, drawn at random: flows of one activity, or copies of
        one flow, end up on both sides, so the scores flatter.
    group_column
        Rows with one value of it stay together: in validation and, where nothing else says what
        the test is, in the split as well.
    """

    column: str | None = None
    time_column: str | None = None
    random_share: float | None = None
    group_column: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names; no model sees them."""
        every = (self.column, self.time_column, self.group_column)
        return tuple(name.strip() for name in every if name is not None)


AS_FILES_SAY: Final = Split()


@dataclass(frozen=True, slots=True)
class Sides:
    """``train``, ``test`` or another text for each row, the group of each, and what was done."""

    side: Strings
    groups: list[str | None]
    notes: tuple[str, ...]


def split_rows(table: AuditData, split: Split, *, seed: int, file: str) -> Sides:
    """Split the rows of a table as its files, a column, or the user say.

    Raises
    ------
    InputError
        A column is not there, or nothing says what to judge on.
    """
    groups, notes = _groups(table, split, file)
    if table.split_known:
        return Sides(table.split, groups, notes)
    if split.time_column is not None:
        side = _by_time(_column(table, split.time_column, "time", file), split.time_column, file)
        said = f"the last {TEST_SHARE:.0%} by '{split.time_column}' are the test"
    elif split.random_share is not None:
        rng = np.random.default_rng(seed)
        side = np.where(rng.random(len(table.label)) < split.random_share, "test", "train")
        said = "split at random, as asked: what is alike is on both sides, and the scores flatter"
    elif split.group_column is not None:
        side = _by_group(groups, table.label, seed)
        said = f"{TEST_SHARE:.0%} of the values of '{split.group_column}' are the test"
    else:
        raise InputError(_no_split(file))
    return Sides(side.astype(object), groups, (*notes, said))


def _no_split(file: str) -> Problem:
    return Problem(
        file,
        "split",
        "flows to judge on",
        "none",
        "give --test-flows FILE; or split by --split-column, --time-column or --group-column; "
        "--random-split 0.3 draws rows, and the scores flatter",
    )


def _groups(table: AuditData, split: Split, file: str) -> tuple[list[str | None], tuple[str, ...]]:
    if split.group_column is not None:
        column = _column(table, split.group_column, "group", file).cast(pa.string())
        return column.to_pylist(), (f"groups are the values of '{split.group_column}'",)
    if "run" in table.context and len(pc.unique(table.context["run"])) > 2:
        return table.context["run"].to_pylist(), ("groups are the runs",)
    note = "no groups are known: validation splits row by row, and its scores flatter"
    return [None] * len(table.label), (note,)


def _column(table: AuditData, name: str, what: str, file: str) -> pa.ChunkedArray:
    try:
        return table.columns.column(name.strip())
    except KeyError as error:
        raise InputError(
            Problem(
                file, f"{what} column", "a column of the table", f"'{name}'", "correct the name"
            )
        ) from error


def _by_time(column: pa.ChunkedArray, name: str, file: str) -> Strings:
    """The last rows; equal times stay together."""
    text = pa.types.is_string(column.type)
    if column.null_count or (text and not pc.all(pc.match_substring_regex(column, ISO)).as_py()):
        raise InputError(
            Problem(
                file,
                f"time column {name}",
                "a number or an ISO 8601 time in each row",
                repr(column[0].as_py()),
                "convert it, or split by --group-column or --test-flows",
            )
        )
    _, rank = np.unique(np.asarray(column.to_pylist()), return_inverse=True)
    border = np.quantile(rank, 1 - TEST_SHARE)
    return np.where(rank > border, "test", "train")


def _by_group(groups: list[str | None], label: Strings, seed: int) -> Strings:
    """Whole groups of each label, until its share of rows is reached; a row of none by itself."""
    rng = np.random.default_rng(seed)
    names = np.array([f"={g}" if g is not None else f"/{n}" for n, g in enumerate(groups)])
    _, number = np.unique(names, return_inverse=True)
    test = np.zeros(number.max() + 1, dtype=np.bool_)
    seen = np.zeros_like(test)
    for name in sorted(set(label.tolist())):
        rows = number[label == name]
        members = np.unique(rows)
        wanted, taken = TEST_SHARE * len(rows), int(test[rows].sum())
        sizes = np.bincount(rows, minlength=len(test))
        for group in rng.permutation(members[~seen[members]]):
            if taken + sizes[group] <= wanted:
                test[group], taken = True, taken + int(sizes[group])
        seen[members] = True
    return np.where(test[number], "test", "train")
