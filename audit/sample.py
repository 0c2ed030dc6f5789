"""A bounded sample of a table's labelled rows: the same for every check that trains a model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from audit.data import AuditData

Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

SAMPLE_ROWS: Final = 16_000
FEWEST_ROWS: Final = 200  # of a class and split, where there are so many
LEAST_ROWS: Final = 8  # a class with fewer cannot be learnt
JUDGED: Final = 0.3  # of the rows, where the table has no split
SEED: Final = 5


@dataclass(frozen=True)
class Sample:
    """Rows of a table with their features and classes.

    ``rows`` are row numbers of the table, ``values`` [rows, features] is NaN where unknown,
    ``classes`` numbers ``labels``, ``train`` and ``test`` are row numbers of this sample, and
    ``left_out`` names the classes that are too small to be learnt.
    """

    rows: Ints
    values: Matrix
    classes: Ints
    labels: tuple[str, ...]
    train: Ints
    test: Ints
    split: str
    left_out: tuple[str, ...]

    @property
    def learnable(self) -> bool:
        """Whether there are two classes or more, and something to tell them by."""
        return len(self.labels) > 1 and self.values.shape[1] > 0 and len(self.test) > 0


def draw(data: AuditData) -> Sample:
    """Draw the sample; seeded, and every class and split has its share."""
    known = np.flatnonzero(data.train | data.test)
    names, codes = data.labels_of(known)
    rng = np.random.default_rng(SEED)
    stratum = codes * 2 + data.test[known]
    picked = np.sort(_stratified(stratum, SAMPLE_ROWS, rng))
    rows, codes = known[picked], codes[picked]
    test = data.test[rows] if data.test.any() else _held_out(codes, rng)
    enough = np.bincount(codes[~test], minlength=len(names)) >= LEAST_ROWS
    kept = enough[codes]
    rows, codes, test = rows[kept], codes[kept], test[kept]
    labels = tuple(compress(names, enough))
    return Sample(
        rows=rows.astype(np.int64),
        values=matrix(data, rows),
        classes=(np.cumsum(enough) - 1)[codes].astype(np.int64),
        labels=labels,
        train=np.flatnonzero(~test),
        test=np.flatnonzero(test),
        split="the table's own split" if data.test.any() else "a random split: it has none",
        left_out=tuple(compress(names, ~enough)),
    )


def matrix(data: AuditData, rows: Ints) -> Matrix:
    """The features of some rows, float32 [rows, features]; infinities become the largest number."""
    values = np.empty((len(rows), len(data.features)), dtype=np.float32)
    largest = float(np.finfo(np.float32).max)
    for place, field in enumerate(data.features):
        values[:, place] = np.clip(data.values(field.name)[rows], -largest, largest)
    return values


def thinned(strata: Ints, size: int, seed: int = SEED) -> Ints:
    """Positions of about ``size`` entries, every stratum with its share."""
    return np.sort(_stratified(strata, size, np.random.default_rng(seed)))


def _stratified(strata: Ints, size: int, rng: np.random.Generator) -> Ints:
    if len(strata) <= size:
        return np.arange(len(strata))
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    counts = np.bincount(strata)
    starts = np.cumsum(counts) - counts
    share = size / len(strata)
    chosen = [
        order[start : start + min(count, max(FEWEST_ROWS, int(count * share)))]
        for start, count in zip(starts, counts, strict=True)
        if count
    ]
    return np.concatenate(chosen).astype(np.int64)


def _held_out(codes: Ints, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Rows to judge on, of every class the same share."""
    held = np.zeros(len(codes), dtype=np.bool_)
    for code in np.unique(codes):
        members = rng.permutation(np.flatnonzero(codes == code))
        held[members[: round(JUDGED * len(members))]] = True
    return held
