"""Reads a dataset directory of ours for the checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audit.data import AuditData, Columns
from audit.origins import origins
from audit.table import TableColumns
from tagger import DatasetSummary, load_summary, read_activities, read_facts, verify
from topologies.errors import InputError, Problem

KEPT_CELLS: Final = 20_000_000  # of a table that is read once; a larger one, column by column


@dataclass(frozen=True, slots=True)
class _Parts:
    """The Parquet files of all runs, in the order of the labels table."""

    files: tuple[Path, ...]
    types: dict[str, pa.DataType]

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all runs."""
        return pa.chunked_array(
            [chunk for path in self.files for chunk in _read(path, name).chunks],
            type=self.types[name],
        )


def load_dataset(dataset_dir: Path) -> AuditData:
    """Read a dataset; raises `InputError` when its files are not those it was written with."""
    summary = load_summary(dataset_dir)
    problems = verify(dataset_dir)
    if problems:
        raise InputError(problems)
    labels = pq.read_table(dataset_dir / "labels.parquet")
    splits = pq.read_table(dataset_dir / "splits.parquet")
    files = _files(dataset_dir, summary)
    fields = tuple(pq.read_schema(files[0])) if files else ()
    parts: Columns = _Parts(files, {field.name: field.type for field in fields})
    if files and len(labels) * len(fields) <= KEPT_CELLS:
        parts = TableColumns(
            pa.concat_tables(pq.read_table(path, partitioning=None) for path in files)
        )
    ids = parts.column("flow_id")
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
    return AuditData(
        name=summary.name,
        fields=fields,
        label=np.asarray(labels["label"].to_numpy(zero_copy_only=False), dtype=object),
        split=np.asarray(splits["split"].to_numpy(zero_copy_only=False), dtype=object),
        columns=parts,
        context=origins(
            dataset_dir,
            summary,
            parts,
            names=(field.name for field in fields),
            labels=labels,
            splits=splits,
        ),
        lineage=summary,
        facts=read_facts(dataset_dir, [run.run_id for run in summary.runs]),
        activities=read_activities(dataset_dir),
        vocabulary=frozenset(summary.vocabulary),
        benign=frozenset(name for name, one in summary.vocabulary.items() if not one.malicious),
        folder=dataset_dir,
    )


def _files(folder: Path, summary: DatasetSummary) -> tuple[Path, ...]:
    return tuple(
        folder / "flows" / f"run_id={quote(run.run_id, safe='')}" / "part-0.parquet"
        for run in summary.runs
    )


def _read(path: Path, name: str) -> pa.ChunkedArray:
    with pq.ParquetFile(path) as file:
        return file.read(columns=[name])[name]
