"""What flows belong to: activities, and the runs and hosts that these belong to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from builder.folds import Ints, mostly

Strings = npt.NDArray[np.object_]


def named_groups(names: Iterable[str | None]) -> tuple[Ints, tuple[str, ...]]:
    """A number for the name of each row, and the names by number.

    A row without a name is a group of its own, with an empty name.
    """
    every = [f"={name}" if name is not None else f"/{row}" for row, name in enumerate(names)]
    found, groups = np.unique(np.array(every, dtype=str), return_inverse=True)
    return groups.astype(np.int64), tuple(
        name[1:] if name.startswith("=") else "" for name in found.tolist()
    )


def coarser_units(runs: Strings, sources: Strings, groups: Ints) -> dict[str, Ints]:
    """Numbers of the run and of the host of each flow [n], the coarsest first.

    An activity's host is the one that began most of its flows, so no activity has two.
    """
    run = np.unique(runs.astype(str), return_inverse=True)[1].astype(np.int64)
    place = np.char.add(np.char.add(runs.astype(str), "/"), sources.astype(str))
    host = np.unique(place, return_inverse=True)[1].astype(np.int64)
    dense = np.unique(groups, return_inverse=True)[1]
    return {"run": run, "host": mostly(dense, host)[dense]}
