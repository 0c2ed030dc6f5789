"""The rows of a dataset for export: flow, run, split and label in one table, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tagger.anonymise import PrefixPreserving
from tagger.summary import LABELS_FILE, SPLITS_FILE, DatasetSummary, flows_file

BATCH_ROWS: Final = 1 << 14

Hidden = Literal["times", "ids", "addresses"]
IDS: Final = ("run_id", "origin_id", "activity_id", "reason")
"""Beside columns of the role identity; a reason in words names users and hosts."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """What an export does not tell.

    Parameters
    ----------
    key
        Replace addresses under this key, keeping their prefixes; None: leave them as they are.
    drop
        Leave columns out: ``times`` (of day; durations stay), ``ids`` (of flows, runs, networks
        and activities, and the reasons of labels, which name users and hosts), ``addresses``.
    """

    key: bytes | None = None
    drop: frozenset[Hidden] = frozenset()

    @property
    def hides(self) -> bool:
        """Whether anything is kept back."""
        return self.key is not None or bool(self.drop)


@dataclass(frozen=True)
class Rows:
    """The rows of a dataset that may be told."""

    folder: Path
    summary: DatasetSummary
    privacy: Privacy

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the flow table, then run, split and what the label says."""
        return pa.schema([field for field in self._all if not self._hidden(field)])

    @cached_property
    def _all(self) -> list[pa.Field]:
        flows = pq.read_schema(flows_file(self.folder, self.summary.runs[0].run_id))
        labels = pq.read_schema(self.folder / LABELS_FILE)
        return [
            *flows,
            pa.field("run_id", pa.string(), metadata={"role": "identity"}),
            pa.field("split", pa.string(), metadata={"role": "split"}),
            *(
                field.with_metadata({"role": "label"})
                for field in labels
                if field.name != "flow_id"
            ),
        ]

    def _hidden(self, field: pa.Field) -> bool:
        meta = field.metadata or {}
        role, drop = meta.get(b"role"), self.privacy.drop
        return (
            ("times" in drop and role == b"time")
            or ("ids" in drop and (role == b"identity" or field.name in IDS))
            or ("addresses" in drop and _is_address(field))
        )

    def batches(self) -> Iterator[pa.Table]:
        """Tables of `schema`, in the order of the dataset."""
        labels = pq.read_table(self.folder / LABELS_FILE)
        split = pq.read_table(self.folder / SPLITS_FILE, columns=["split"])["split"]
        split = pc.if_else(pc.equal(split, ""), None, split)
        hide = _Addresses(self.privacy.key) if self.privacy.key else None
        done = 0
        for run in self.summary.runs:
            with pq.ParquetFile(flows_file(self.folder, run.run_id)) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    count = batch.num_rows
                    parts = {name: batch.column(name) for name in batch.schema.names}
                    parts["run_id"] = pa.repeat(run.run_id, count)
                    parts["split"] = split.slice(done, count)
                    for name in labels.column_names:
                        parts.setdefault(name, labels[name].slice(done, count))
                    done += count
                    if hide is not None:
                        for field in self.schema:
                            if _is_address(field):
                                parts[field.name] = hide(parts[field.name])
                    columns = [parts[name] for name in self.schema.names]
                    yield pa.table(columns, schema=self.schema)


def _is_address(field: pa.Field) -> bool:
    group = (field.metadata or {}).get(b"group")
    return pa.types.is_string(field.type) and (
        group == b"addresses" or field.name in ("src_ip", "dst_ip")
    )


class _Addresses:
    """Replaces columns of addresses; each address is worked out once."""

    def __init__(self, key: bytes) -> None:
        self._hide = PrefixPreserving(key)
        self._known: dict[str, str] = {}

    def __call__(self, column: pa.Array) -> pa.Array:
        coded = column.dictionary_encode()
        texts = coded.dictionary.to_pylist()
        new = [text for text in texts if text not in self._known]
        self._known.update(zip(new, self._hide(new), strict=True))
        return pa.array([self._known[text] for text in texts], pa.string()).take(coded.indices)
