"""Rows as hashes of what a model sees of them: exactly, and nearly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from audit.data import AuditData

Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

TIMING: Final = frozenset((b"timing", b"rtt", b"rates", b"time"))
"""Groups that differ from one flow to the next even where a command is repeated."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """Two 64-bit hashes of each row.

    ``exact`` is of all features and packets, ``near`` of the features besides those of time, each
    rounded to two digits.
    """

    exact: Hashes
    near: Hashes


def hash_rows(data: AuditData) -> Hashed:
    """Hash everything in a row that a model may see."""
    exact = np.full(len(data.label), 0x9E3779B97F4A7C15, dtype=np.uint64)
    near = exact.copy()
    lasting = [f for f in data.features if (f.metadata or {}).get(b"group") not in TIMING]
    compared = {field.name for field in lasting or data.features}
    for field in (*data.features, *data.sequences):
        values = data.values(field.name)
        for column in values.reshape(len(values), -1).T:
            exact = _mixed(exact, column)
        if field.name in compared:
            near = _mixed(near, two_digits(values))
    return Hashed(exact, near)


def two_digits(values: Floats) -> Floats:
    """Round numbers to two significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (np.floor(np.log10(np.abs(values))) - 1)
        rounded = np.round(values / scale) * scale
    return np.where(np.isfinite(values) & (values != 0), rounded, values)


def _mixed(hashes: Hashes, column: Floats) -> Hashes:
    # The finaliser of splitmix64; + 0.0 makes one zero of two, and one NaN stands for all.
    bits = np.where(np.isnan(column), np.nan, column + 0.0).view(np.uint64)
    mixed = (hashes ^ bits) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
