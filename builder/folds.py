"""How training rows are split to validate a trial: stratified, and no activity on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

HOLDOUT_FROM_ROWS: Final = 200_000  # from here on 1 % is enough to validate on
HOLDOUT_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers to train on and to validate on; together all rows, none in both."""

    train: Ints
    valid: Ints


@dataclass(frozen=True, slots=True)
class Validation:
    """The folds and, in words, how they were made."""

    folds: tuple[Fold, ...]
    method: str
    notes: tuple[str, ...] = ()


def plan_validation(
    classes: Ints,
    groups: Ints,
    *,
    folds: int,
    seed: int,
    labels: tuple[str, ...],
    units: Mapping[str, Ints] | None = None,
    holdout_from_rows: int = HOLDOUT_FROM_ROWS,
) -> Validation:
    """Split rows into folds, or 99/1 from ``holdout_from_rows`` rows up.

    ``classes`` [n] are class numbers, ``groups`` [n] name the activity of each row. ``units`` are
    what activities belong to, by name and the coarsest first (runs, hosts): folds are made of the
    first whose parts hold every class often enough, else of activities. A class with fewer
    activities than ``folds`` lowers the number of folds; a class with a single one is split row
    by row. Both are said in the notes, for they change what the scores mean.
    """
    rng = np.random.default_rng(seed)
    for name, numbers in (units or {}).items() if len(classes) < holdout_from_rows else ():
        dealt = _deal_units(classes, numbers, folds, seed)
        if dealt is not None:
            return Validation(dealt, f"{folds} folds, grouped by {name}")
    groups, notes = _break_up_lonely(classes, groups, labels)
    members = _members(classes, groups)
    if len(classes) >= holdout_from_rows:
        chosen = _holdout(members, rng)
        valid = np.isin(groups, chosen)
        fold = Fold(np.flatnonzero(~valid), np.flatnonzero(valid))
        return Validation((fold,), "99/1 split, grouped by activity", notes)
    fewest = min(len(names) for names, _ in members)
    if fewest < folds:
        notes += (f"{fewest} folds instead of {folds}: a class has only {fewest} activities",)
        folds = fewest
    number = _deal(groups, members, folds, rng)
    return Validation(
        tuple(Fold(np.flatnonzero(number != k), np.flatnonzero(number == k)) for k in range(folds)),
        f"{folds} folds, grouped by activity",
        notes,
    )


def _deal_units(classes: Ints, units: Ints, folds: int, seed: int) -> tuple[Fold, ...] | None:
    """Folds of whole units; None if a class would be missing on one side of a fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    width = int(classes.max()) + 1
    pairs = np.unique(units.astype(np.int64) * width + classes)
    if np.bincount(pairs % width, minlength=width).min() < folds:
        return None
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = tuple(Fold(*sides) for sides in dealer.split(classes, classes, units))
    known = set(classes.tolist())
    whole = all({*classes[rows].tolist()} == known for f in found for rows in (f.train, f.valid))
    return found if whole else None


def _break_up_lonely(
    classes: Ints, groups: Ints, labels: tuple[str, ...]
) -> tuple[Ints, tuple[str, ...]]:
    """Give each row of a class that has one group only a group of its own."""
    _, groups = np.unique(groups, return_inverse=True)
    lonely = [k for k in range(len(labels)) if len(np.unique(groups[classes == k])) == 1]
    if not lonely:
        return groups, ()
    broken = np.isin(classes, lonely)
    groups = np.where(broken, groups.max() + 1 + np.arange(len(groups)), groups)
    names = ", ".join(labels[k] for k in lonely)
    return groups, (f"one activity only, so its flows are on both sides of validation: {names}",)


def _members(classes: Ints, groups: Ints) -> list[tuple[Ints, Ints]]:
    """For each class, the groups that mostly hold it and their sizes; each group once."""
    names, number = np.unique(groups, return_inverse=True)
    main = mostly(number, classes)
    sizes = np.bincount(number)
    return [(names[main == k], sizes[main == k]) for k in np.unique(main)]


def mostly(groups: Ints, values: Ints) -> Ints:
    """The value that each group 0, 1, … mostly has: int64 [groups]; both arguments are [n]."""
    width = int(values.max()) + 1
    cells, counts = np.unique(groups * width + values, return_counts=True)
    largest_last = np.lexsort((counts, cells // width))
    main = np.zeros(int(groups.max()) + 1, dtype=np.int64)
    main[cells[largest_last] // width] = cells[largest_last] % width
    return main


def _deal(
    groups: Ints, members: list[tuple[Ints, Ints]], folds: int, rng: np.random.Generator
) -> Ints:
    """Fold number of each row: class by class, the largest group to the emptiest fold."""
    fold_of = np.zeros(int(groups.max()) + 1, dtype=np.int64)
    for names, sizes in members:
        filled = np.zeros(folds, dtype=np.int64)
        order = rng.permutation(len(names))
        for group in order[np.argsort(-sizes[order], kind="stable")]:
            fold = int(filled.argmin())
            fold_of[names[group]] = fold
            filled[fold] += sizes[group]
    return fold_of[groups]


def _holdout(members: list[tuple[Ints, Ints]], rng: np.random.Generator) -> Ints:
    """Groups to validate on: about one in a hundred rows of every class."""
    chosen: list[int] = []
    for names, sizes in members:
        wanted, taken = max(1, round(HOLDOUT_SHARE * int(sizes.sum()))), 0
        for group in rng.permutation(len(names)):
            if taken + sizes[group] <= wanted:
                chosen.append(int(names[group]))
                taken += int(sizes[group])
        if not taken:
            chosen.append(int(names[sizes.argmin()]))
    return np.array(chosen, dtype=np.int64)
