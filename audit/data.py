"""A dataset as the checks see it: its summary, its labels, its splits, and columns on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tagger import AMBIGUOUS, UNLABELLED, DatasetSummary, load_summary, verify
from topologies.errors import InputError, Problem

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MODEL_ROLES: Final = (b"feature", b"sequence")


@dataclass(frozen=True, slots=True)
class AuditData:
    """The rows of all runs, one after the other, in the order of the labels table.

    ``labels`` and ``splits`` are the dataset's tables; ``train`` and ``test`` mark the rows that a
    model learns from and is judged on: those with a single label.
    """

    folder: Path
    summary: DatasetSummary
    labels: pa.Table
    splits: pa.Table
    label: npt.NDArray[np.object_]
    train: Bools
    test: Bools
    fields: tuple[pa.Field, ...]

    @classmethod
    def load(cls, dataset_dir: Path) -> Self:
        """Read a dataset; raises `InputError` when its files are not those it was written with."""
        summary = load_summary(dataset_dir)
        problems = verify(dataset_dir)
        if problems:
            raise InputError(problems)
        labels = pq.read_table(dataset_dir / "labels.parquet")
        splits = pq.read_table(dataset_dir / "splits.parquet")
        label = np.asarray(labels["label"].to_numpy(zero_copy_only=False), dtype=object)
        decided = (label != UNLABELLED) & (label != AMBIGUOUS)
        split = np.asarray(splits["split"].to_numpy(zero_copy_only=False), dtype=object)
        schemas = [pq.read_schema(path) for path in _files(dataset_dir, summary)]
        data = cls(
            folder=dataset_dir,
            summary=summary,
            labels=labels,
            splits=splits,
            label=label,
            train=decided & (split == "train"),
            test=decided & (split == "test"),
            fields=tuple(schemas[0]) if schemas else (),
        )
        ids = data.column("flow_id")
        if not (ids.equals(labels["flow_id"]) and ids.equals(splits["flow_id"])):
            raise InputError(
                Problem(
                    str(dataset_dir),
                    "flow_id",
                    "the same flows in the same order in flows, labels and splits",
                    "different ones",
                    "write the dataset again",
                )
            )
        return data

    @property
    def labelled(self) -> Bools:
        """Rows with a single label."""
        return self.train | self.test

    @property
    def features(self) -> tuple[pa.Field, ...]:
        """Columns that may reach a model as numbers of the whole flow."""
        return tuple(f for f in self.fields if role(f) == b"feature")

    @property
    def sequences(self) -> tuple[pa.Field, ...]:
        """Columns that may reach a model as packet sequences."""
        return tuple(f for f in self.fields if role(f) == b"sequence")

    def has(self, *names: str) -> bool:
        """Whether the flow table has these columns."""
        return set(names) <= {field.name for field in self.fields}

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all runs."""
        return pa.chunked_array(
            [
                chunk
                for path in _files(self.folder, self.summary)
                for chunk in _read(path, name).chunks
            ],
            type=next(field.type for field in self.fields if field.name == name),
        )

    def values(self, name: str) -> Floats:
        """A numeric column as float64, NaN where it is null; sequences get shape [rows, length]."""
        column = self.column(name).combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            flat = column.flatten().to_numpy(zero_copy_only=False)
            return np.asarray(flat, dtype=np.float64).reshape(len(column), -1)
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def role(field: pa.Field) -> bytes:
    """The role that a column's metadata gives it."""
    return bytes((field.metadata or {}).get(b"role", b""))


def _files(folder: Path, summary: DatasetSummary) -> list[Path]:
    return [
        folder / "flows" / f"run_id={quote(run.run_id, safe='')}" / "part-0.parquet"
        for run in summary.runs
    ]


def _read(path: Path, name: str) -> pa.ChunkedArray:
    with pq.ParquetFile(path) as file:
        return file.read(columns=[name])[name]
