"""Rows as hashes of what a model sees of them: exactly, and nearly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagger.twins import TIMING, Floats, Hashes, hash_columns, two_digits

if TYPE_CHECKING:
    from audit.data import AuditData


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
    rows = len(data.label)
    lasting = [f for f in data.features if (f.metadata or {}).get(b"group") not in TIMING]
    return Hashed(
        exact=hash_columns(_columns(data), rows),
        near=hash_columns(
            (two_digits(data.values(field.name)) for field in lasting or data.features), rows
        ),
    )


def _columns(data: AuditData) -> Iterator[Floats]:
    for field in (*data.features, *data.sequences):
        values = data.values(field.name)
        yield from values.reshape(len(values), -1).T
