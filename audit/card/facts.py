"""What the card shows of the flows themselves: worked out once, on a sample of bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.card.tree import Node, grow
from audit.data import AuditData
from audit.stumps import best_splits
from audit.suspects import Suspect

SAMPLE_ROWS: Final = 20_000
TELLING: Final = 9
CORRELATED: Final = 24
ALIKE: Final = 0.95  # rank correlation of two features that tell the same
SUSPECTS: Final = 12

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """The best split of one feature for one class against the rest."""

    feature: str
    accuracy: float
    threshold: float


@dataclass(frozen=True)
class Facts:
    """A sample of the labelled flows, of the training split where there is one.

    ``values`` is [rows, features], NaN where unknown; ``codes`` numbers ``classes``. ``shades``
    are the places of the classes in the whole dataset, by which all pictures colour them.
    ``suspects`` are those of check D3, the most telling first.
    """

    fields: tuple[pa.Field, ...]
    classes: tuple[str, ...]
    shades: tuple[int, ...]
    codes: Ints
    values: Floats
    flows: int
    split: str
    suspects: tuple[Suspect, ...]

    @property
    def names(self) -> list[str]:
        """Columns of ``values``."""
        return [field.name for field in self.fields]

    @property
    def learnable(self) -> bool:
        """Whether there are classes to tell apart and something to tell them by."""
        return len(self.classes) > 1 and bool(self.fields)

    def unit(self, place: int) -> str:
        """Unit of a column; nothing for counts and shares."""
        unit = bytes((self.fields[place].metadata or {}).get(b"unit", b"")).decode()
        return "" if unit == "1" else unit

    @cached_property
    def splits(self) -> tuple[Floats, Floats]:
        """Balanced accuracy and threshold of the best split, each [columns, classes]."""
        count = len(self.classes)
        found = [best_splits(column, self.codes, count) for column in self.values.T]
        if not found:
            return np.empty((0, count)), np.empty((0, count))
        return np.stack([one for one, _ in found]), np.stack([at for _, at in found])

    def shortcuts(self, place: int, count: int = 3) -> list[Split]:
        """The features that separate one class from the rest best."""
        accuracy, threshold = (table[:, place] for table in self.splits)
        best = np.argsort(-accuracy, kind="stable")[:count]
        return [Split(self.names[f], float(accuracy[f]), float(threshold[f])) for f in best]

    @cached_property
    def ranks(self) -> Floats:
        """Features by rank, unknown values lowest, with mean 0 and length 1; constants are 0."""
        filled = np.where(np.isnan(self.values), -np.inf, self.values)
        ranks = np.empty_like(filled)
        for place, column in enumerate(filled.T):
            _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
            ranks[:, place] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
        ranks -= ranks.mean(axis=0)
        length = np.linalg.norm(ranks, axis=0)
        return ranks / np.where(length > 0, length, 1)

    def order(self) -> Ints:
        """Features from the most telling on: those that separate most classes by one split."""
        return np.argsort(-self.splits[0].mean(axis=1), kind="stable")

    def telling(self, count: int = TELLING) -> list[int]:
        """The most telling features, without those that only repeat one before them."""
        chosen: list[int] = []
        for place in self.order():
            alike = self.ranks[:, chosen].T @ self.ranks[:, place] if chosen else np.zeros(1)
            if np.abs(alike).max() <= ALIKE:
                chosen.append(int(place))
            if len(chosen) == count:
                break
        return chosen

    def correlation(self, count: int = CORRELATED) -> tuple[list[str], Floats]:
        """Rank correlations of the most telling features, in the order of the flow table."""
        chosen = np.sort(self.order()[:count])
        some = self.ranks[:, chosen]
        return [self.names[place] for place in chosen], np.clip(some.T @ some, -1, 1)

    @cached_property
    def tree(self) -> Node:
        """The depth-3 tree of the sample."""
        return grow(self.values, self.codes, self.names, len(self.classes))


def gather(data: AuditData) -> Facts:
    """Draw the sample: the same for the same dataset."""
    split = "training" if data.train.any() else "test"
    rows = np.flatnonzero(data.train if data.train.any() else data.test)
    total = len(rows)
    if total > SAMPLE_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False))
    label = data.label[rows].astype(str)
    found = set(label)
    counted = data.summary.label_counts
    # What is not counted there the audit finds fault with.
    everywhere = [*counted, *sorted(found - set(counted))]
    classes = tuple(name for name in everywhere if name in found)
    place = {name: number for number, name in enumerate(classes)}
    columns = [data.values(field.name)[rows] for field in data.features]
    return Facts(
        fields=data.features,
        classes=classes,
        shades=tuple(everywhere.index(name) for name in classes),
        codes=np.array([place[name] for name in label], dtype=np.int64),
        values=np.stack(columns, axis=1) if columns else np.empty((len(rows), 0)),
        flows=total,
        split=split,
        suspects=tuple(sorted(data.suspects, key=lambda one: -one.accuracy)[:SUSPECTS]),
    )


def quantiles(values: Floats, shares: Sequence[float]) -> list[float]:
    """Quantiles of the known values; NaN where none is known."""
    known = values[np.isfinite(values)]
    return np.quantile(known, shares).tolist() if len(known) else [float("nan")] * len(shares)
