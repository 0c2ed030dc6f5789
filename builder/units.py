"""What flows belong to: activities, and the runs and hosts that these belong to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from builder.folds import Ints, mostly

Strings = npt.NDArray[np.object_]


def activity_groups(activities: Strings, runs: Strings) -> tuple[Ints, tuple[str, ...]]:
    """A number for the activity of each flow [n], and the activities' names by number.

    A flow of no activity is a group of its own, without a name.
    """
    names = [
        f"{run}/{activity}" if activity is not None else f"/{row}"
        for row, (run, activity) in enumerate(zip(runs, activities, strict=True))
    ]
    found, groups = np.unique(np.array(names, dtype=str), return_inverse=True)
    return groups.astype(np.int64), tuple(
        "" if name.startswith("/") else name for name in found.tolist()
    )


def group_numbers(names: Iterable[str | None]) -> Ints:
    """One number per name; a row without one is a group of its own."""
    every = [f"={name}" if name is not None else f"/{row}" for row, name in enumerate(names)]
    return np.unique(np.array(every, dtype=str), return_inverse=True)[1].astype(np.int64)


def coarser_units(runs: Strings, sources: Strings, groups: Ints) -> dict[str, Ints]:
    """Numbers of the run and of the host of each flow [n], the coarsest first.

    An activity's host is the one that began most of its flows, so no activity has two.
    """
    run = np.unique(runs.astype(str), return_inverse=True)[1].astype(np.int64)
    place = np.char.add(np.char.add(runs.astype(str), "/"), sources.astype(str))
    host = np.unique(place, return_inverse=True)[1].astype(np.int64)
    dense = np.unique(groups, return_inverse=True)[1]
    return {"run": run, "host": mostly(dense, host)[dense]}
