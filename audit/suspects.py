"""The usual suspects: what has told the classes of published datasets apart, one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.data import AuditData
from audit.sample import LEAST_ROWS, thinned
from audit.stumps import best_splits

ROWS: Final = 50_000
PATTERNS: Final = {
    "destination port": r"(^|_)(dst|dest|destination|d|ds)_?(port|pt)$",
    "time to live": r"(^|_)[sd]?ttl(_|$)",
    "initial window": r"(^|_)(init\w*_win\w*|initial_window\w*|[sd]win|window_scale)(_|$)",
    "MSS and options": r"(^|_)(mss|tcp_options?|options)(_|$)",
    "smallest packet": r"(^|_)(min_(packet|pkt)_(len|length|size)|\w*(packet_length|pkt_len|size)"
    r"_min(_bytes)?|min_seg_size_forward)$",
}
"""By the words of their columns' names."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A suspect column, and how well one split of it tells each class from the rest."""

    kind: str
    field: pa.Field
    seen: bool
    """Whether a model sees it; a key such as a port is shown all the same."""
    splits: tuple[tuple[str, float, float], ...]
    """Class, balanced accuracy (0.5 is chance) and threshold; the class told best first."""

    @property
    def feature(self) -> str:
        """Name of the column."""
        name: str = self.field.name
        return name

    @property
    def label(self) -> str:
        """The class that it tells best."""
        return self.splits[0][0]

    @property
    def accuracy(self) -> float:
        """How well."""
        return self.splits[0][1]

    @property
    def threshold(self) -> float:
        """Where it splits."""
        return self.splits[0][2]


@dataclass(frozen=True, slots=True)
class Training:
    """Rows to measure on, the classes that have enough of them, and each row's class."""

    rows: Ints
    classes: tuple[str, ...]
    codes: Ints

    @classmethod
    def of(cls, data: AuditData) -> Training:
        """Those of the training split, of bounded number."""
        rows = np.flatnonzero(data.train)
        _, codes = data.labels_of(rows)
        rows = rows[(np.bincount(codes) >= LEAST_ROWS)[codes]]
        classes, codes = data.labels_of(rows)
        some = thinned(codes, ROWS)
        return cls(rows[some], classes, codes[some])

    def splits(
        self, data: AuditData, column: str, known: npt.NDArray[np.bool_] | None = None
    ) -> list[tuple[str, float, float]]:
        """Of each class its name, its best balanced accuracy by a column, and the threshold."""
        rows, codes = self.rows, self.codes
        if known is not None:
            rows, codes = rows[known], codes[known]
        accuracy, threshold = best_splits(data.values(column)[rows], codes, len(self.classes))
        return list(zip(self.classes, accuracy.tolist(), threshold.tolist(), strict=True))


def usual_suspects(data: AuditData) -> tuple[Suspect, ...]:
    """Every suspect of a table that varies, in the order of its columns; none without two classes.

    Flows without a value, such as those of UDP without a window, do not count: that is their
    protocol.
    """
    training = Training.of(data)
    if len(training.classes) < 2:
        return ()
    features = {field.name for field in data.features}
    found = []
    for field, kind in _columns(data):
        known = np.isfinite(data.values(field.name)[training.rows])
        if len(np.unique(training.codes[known])) < 2:
            continue
        splits = sorted(training.splits(data, field.name, known), key=lambda one: -one[1])
        found.append(Suspect(kind, field, field.name in features, tuple(splits)))
    return tuple(found)


def _columns(data: AuditData) -> list[tuple[pa.Field, str]]:
    found = []
    for field in data.fields:
        plain = re.sub(r"[\W_]+", "_", field.name.casefold()).strip("_")
        found += [
            (field, kind)
            for kind, pattern in PATTERNS.items()
            if not pa.types.is_nested(field.type) and re.search(pattern, plain)
        ]
    return found
