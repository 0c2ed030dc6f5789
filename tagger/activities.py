"""The activities table of a dataset: what the flows' ``activity_id`` stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from launcher.records import ActivityRecord
from tagger.summary import ACTIVITIES_FILE

ACTIVITIES: Final = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("activity_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("params", pa.string(), nullable=False),
        pa.field("user", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("addresses", pa.list_(pa.string()), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("stop_ns", pa.int64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("success", pa.bool_()),
    ]
)
"""``params`` is JSON; ``success`` is an attack's, null for the rest."""


def activities_table(run_id: str, activities: Iterable[ActivityRecord]) -> pa.Table:
    """The sessions of a run's journal, in its order."""
    rows = [
        {
            "run_id": run_id,
            "activity_id": one.id,
            "params": json.dumps(one.params, sort_keys=True),
            "success": None if one.effect is None else one.effect.get("success") is True,
            **one.model_dump(
                include={
                    *("name", "kind", "variant", "user", "host", "addresses", "start_ns"),
                    *("stop_ns", "outcome"),
                }
            ),
        }
        for one in activities
    ]
    return pa.Table.from_pylist(rows, schema=ACTIVITIES)


def read_activities(dataset_dir: Path) -> pa.Table:
    """The activities of a dataset; none where it was not made from runs."""
    path = dataset_dir / ACTIVITIES_FILE
    return pq.read_table(path) if path.is_file() else ACTIVITIES.empty_table()
