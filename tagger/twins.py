"""Flows that look alike: hashes of rows, and which test flows nearly repeat a training flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tagger.flows import Bools
from tagger.summary import Split

Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

TIMING: Final = frozenset((b"timing", b"rtt", b"rates", b"time"))
"""Groups that differ from one flow to the next even where a command is repeated."""


def hash_columns(columns: Iterable[Floats], rows: int) -> Hashes:
    """A 64-bit hash of each row of some columns; NaN equals NaN."""
    hashes = np.full(rows, 0x9E3779B97F4A7C15, dtype=np.uint64)
    for column in columns:
        hashes = _mixed(hashes, column)
    return hashes


def two_digits(values: Floats) -> Floats:
    """Round numbers to two significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (np.floor(np.log10(np.abs(values))) - 1)
        rounded = np.round(values / scale) * scale
    return np.where(np.isfinite(values) & (values != 0), rounded, values)


def near_hashes(table: Path) -> Hashes:
    """Of each flow of a table, a hash of its features besides those of time, to two digits."""
    with pq.ParquetFile(table) as file:
        features = [f for f in file.schema_arrow if (f.metadata or {}).get(b"role") == b"feature"]
        lasting = [f for f in features if (f.metadata or {}).get(b"group") not in TIMING]
        columns = (
            two_digits(
                file.read(columns=[field.name])[field.name]
                .to_numpy(zero_copy_only=False)
                .astype(np.float64)
            )
            for field in lasting or features
        )
        return hash_columns(columns, file.metadata.num_rows)


def repeats_training(
    tables: Sequence[Path], labels: Sequence[npt.NDArray[np.object_]], splits: Sequence[Split]
) -> list[Bools]:
    """Flows of runs to judge on that nearly repeat a training flow of the same label.

    A model that knows the one knows the other, so they would flatter it. Those that look like a
    training flow of another label stay: they are what it may get wrong.

    Parameters
    ----------
    tables, labels, splits
        Of each run the flow table, the label of each of its flows, and the split it goes to.
    """
    if not ("train" in splits and {"test", "unseen"} & set(splits)):
        return [np.zeros(len(label), dtype=np.bool_) for label in labels]
    keys = [_keys(table, label) for table, label in zip(tables, labels, strict=True)]
    learnt = [key for key, split in zip(keys, splits, strict=True) if split == "train"]
    known = np.unique(np.concatenate(learnt)) if learnt else np.empty(0, dtype=np.uint64)
    return [
        np.isin(key, known) & (split in ("test", "unseen"))
        for key, split in zip(keys, splits, strict=True)
    ]


def _keys(table: Path, label: npt.NDArray[np.object_]) -> Hashes:
    """Hashes of the flows with their labels."""
    names, code = np.unique(label.astype(str), return_inverse=True)
    stamp = np.array([crc32(name.encode()) for name in names], dtype=np.float64)
    return _mixed(near_hashes(table), stamp[code])


def _mixed(hashes: Hashes, column: Floats) -> Hashes:
    # The finaliser of splitmix64; + 0.0 makes one zero of two, and one NaN stands for all.
    bits = np.where(np.isnan(column), np.nan, column + 0.0).view(np.uint64)
    mixed = (hashes ^ bits) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
