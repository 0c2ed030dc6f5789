"""Which flows go to which split: whole runs, topologies, hosts or windows of time, never rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tagger.summary import SPLIT_ORDER, Grouping, Split
from topologies.errors import InputError, Problem

Strings = npt.NDArray[np.object_]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How to part a dataset.

    Parameters
    ----------
    by
        What stays together. ``time``: each run is cut into windows, in the order train,
        validation, test; the others are dealt out whole.
    shares
        Wanted share of the flows by split; only their ratios count.
    named
        Groups whose split is given; without ``shares`` it names every group.
    seed
        Of the order in which groups are dealt out.
    """

    by: Grouping
    shares: Mapping[Split, float] = field(default_factory=dict)
    named: Mapping[str, Split] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [name for name, share in self.shares.items() if not 0 < share < float("inf")]
        if wrong:
            _refuse("shares", "a share above zero for each split", f"another for {wrong[0]}",
                    "leave the split out instead")  # fmt: skip
        if not self.shares and not self.named:
            _refuse("shares", "shares, or the splits of named groups", "neither",
                    "give for example --share train=0.7 --share test=0.3")  # fmt: skip
        if self.by == "time" and (self.named or len(self.shares) < 2):
            _refuse("shares", "two or more shares to cut time by", "another plan",
                    "give for example --share train=0.7 --share test=0.3")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flows:
    """What a split looks at, one entry per flow; ``owner`` is empty where no activity is known."""

    run: Strings
    owner: Strings
    group: Strings
    first_ns: Int64s
    last_ns: Int64s


def split_flows(flows: Flows, plan: SplitPlan) -> tuple[Strings, Strings]:
    """The split of each flow (None: in none) and the name of its group.

    Raises
    ------
    InputError
        There are fewer groups than splits, or a named group does not exist.
    """
    if plan.by == "time":
        return _by_time(flows, plan)
    group = _of_owner(flows)
    sizes = Counter(group.tolist())
    chosen = deal(sizes, plan)
    return np.array([chosen[name] for name in group], dtype=object), group


def deal(sizes: Mapping[str, int], plan: SplitPlan) -> dict[str, Split]:
    """The split of each group, so that the splits' flows come near to the shares."""
    _check_names(sizes, plan)
    chosen = dict(plan.named)
    have = Counter(dict.fromkeys(plan.shares, 0))
    for name, split in chosen.items():
        have[split] += sizes[name]
    free = [name for name in sorted(sizes) if name not in chosen]
    if free and not plan.shares:
        _refuse("named", f"a split for every {plan.by}, or shares for the others",
                f"none for {', '.join(free)}", "name these too")  # fmt: skip
    total, whole = sum(sizes.values()), sum(plan.shares.values())
    wanted = {split: share / whole * total for split, share in plan.shares.items()}
    order = np.random.default_rng(plan.seed).permutation(len(free))
    for left, place in zip(range(len(free), 0, -1), order, strict=True):
        empty = [split for split in wanted if not have[split]]
        if len(empty) > left:
            break
        among = empty if len(empty) == left else list(wanted)
        split = max(among, key=lambda one: wanted[one] - have[one])
        chosen[free[place]] = split
        have[split] += sizes[free[place]]
    if empty := [split for split in wanted if not have[split]]:
        count = len(sizes)
        _refuse(
            "shares",
            f"as many {_several(plan.by)} as splits",
            f"{count} ({', '.join(sorted(sizes)[:5])}) and no flow for {', '.join(empty)}",
            "part by something that there is more of, or into fewer splits",
        )
    return chosen


def _check_names(sizes: Mapping[str, int], plan: SplitPlan) -> None:
    problems = [
        Problem(
            name,
            "named",
            f"a {plan.by} of the dataset",
            f"'{name}'",
            f"choose among {', '.join(sorted(sizes)[:20])}",
        )
        for name in plan.named
        if name not in sizes
    ]
    if problems:
        raise InputError(problems)


def _of_owner(flows: Flows) -> Strings:
    """Groups, with all flows of an activity in the one that most of them are in."""
    group = flows.group.copy()
    counts: dict[tuple[str, str], Counter[str]] = {}
    keys = list(zip(flows.run, flows.owner, strict=True))
    for key, name in zip(keys, group, strict=True):
        if key[1]:
            counts.setdefault(key, Counter())[name] += 1
    main = {
        key: max(sorted(count), key=count.__getitem__)
        for key, count in counts.items()
        if len(count) > 1
    }
    for row, key in enumerate(keys):
        if key in main:
            group[row] = main[key]
    return group


# -- time --------------------------------------------------------------------------------------


def _by_time(flows: Flows, plan: SplitPlan) -> tuple[Strings, Strings]:
    names = [split for split in SPLIT_ORDER if split in plan.shares]
    ends = np.cumsum([plan.shares[split] for split in names])
    window = np.empty(len(flows.run), dtype=np.int64)
    for run in sorted(set(flows.run)):
        rows = np.flatnonzero(flows.run == run)
        begin, end = flows.first_ns[rows].min(), flows.last_ns[rows].max()
        cuts = (begin + ends[:-1] / ends[-1] * (end - begin)).astype(np.int64)
        window[rows] = _windows(flows, rows, cuts)
    split = np.array([*names, None], dtype=object)[window]
    labels = [None if place is None else f"{run}/{place}" for run, place in
              zip(flows.run, split, strict=True)]  # fmt: skip
    missing = [name for name in names if name not in set(split)]
    if missing:
        _refuse("shares", "flows in every window of time", f"none for {', '.join(missing)}",
                "give these a larger share, or leave them out")  # fmt: skip
    return split, np.array(labels, dtype=object)


def _windows(flows: Flows, rows: Int64s, cuts: Int64s) -> Int64s:
    """The window of each row; -1 where the flow or its activity lies across a cut."""
    first = np.searchsorted(cuts, flows.first_ns[rows], side="right")
    last = np.searchsorted(cuts, flows.last_ns[rows], side="right")
    owners, owner = np.unique(flows.owner[rows].astype(str), return_inverse=True)
    lowest = np.full(len(owners), len(cuts) + 1)
    highest = np.full(len(owners), -1)
    np.minimum.at(lowest, owner, first)
    np.maximum.at(highest, owner, last)
    owned = owners[owner] != ""
    across = np.where(owned, lowest[owner] != highest[owner], first != last)
    return np.where(across, -1, first)


def _refuse(place: str, expected: str, got: str, remedy: str) -> None:
    raise InputError(Problem("split", place, expected, got, remedy))


def names_of(values: Sequence[str | None]) -> Strings:
    """Texts with an empty one for each that is unknown."""
    return np.array([value or "" for value in values], dtype=object)


def _several(by: Grouping) -> str:
    return "topologies" if by == "topology" else f"{by}s"
