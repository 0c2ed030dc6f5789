"""Parquet, the Hugging Face layout, and NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from tagger.export.rows import Rows
from tagger.rulebook import AMBIGUOUS, UNLABELLED
from tagger.summary import SPLIT_ORDER, DatasetSummary
from topologies.errors import InputError, Problem

SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
                (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))  # fmt: skip
"""The hub's words for how large a dataset is."""


def write_parquet(rows: Rows, target: Path) -> int:
    """One file; the columns keep their metadata: role, unit, group, definition."""
    count = 0
    with pq.ParquetWriter(target, rows.schema, compression="zstd") as writer:
        for table in rows.batches():
            writer.write_table(table)
            count += table.num_rows
    return count


def write_hugging_face(rows: Rows, folder: Path) -> int:
    """A folder for ``datasets.load_dataset``: a file per split, and README.md that says so.

    Flows in no split are left out, and so is the column that says the split.
    """
    names = [name for name in rows.schema.names if name != "split"]
    data = folder / "data"
    data.mkdir()
    schema = pa.schema([rows.schema.field(name) for name in names])
    counts: dict[str, int] = {}
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        for table in rows.batches():
            for split in SPLIT_ORDER:
                some = table.filter(pc.equal(table["split"], split))
                if not some.num_rows:
                    continue
                if split not in writers:
                    place = data / f"{split}-00000-of-00001.parquet"
                    writers[split] = stack.enter_context(
                        pq.ParquetWriter(place, schema, compression="zstd")
                    )
                writers[split].write_table(some.select(names))
                counts[split] = counts.get(split, 0) + some.num_rows
    (folder / "README.md").write_text(_readme(rows, counts), encoding="utf-8")
    return sum(counts.values())


def _readme(rows: Rows, counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    splits = [name for name in SPLIT_ORDER if name in counts]
    head = {
        "pretty_name": rows.summary.name,
        "tags": ["network-traffic", "netflow", "g-sta"],
        "task_categories": ["tabular-classification"],
        "size_categories": [next((word for size, word in SIZES if total < size), "n>10M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": f"data/{s}-*.parquet"} for s in splits],
            }
        ],
    }
    card = rows.folder / "card.md"
    # The card names runs and hosts, so it stays behind where anything is to be hidden.
    told = not rows.privacy.hides and card.is_file()
    text = card.read_text(encoding="utf-8") if told else _short(rows.summary, counts)
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n{text}"


def _short(summary: DatasetSummary, counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{count} in {split}" for split, count in counts.items())
    labels = "".join(
        f"- `{name}`: {one.category}{', malicious' if one.malicious else ''}\n"
        for name, one in summary.vocabulary.items()
    )
    return f"# {summary.name}\n\nLabelled network flows: {said}.\n\n## Labels\n\n{labels}"


def write_numpy(rows: Rows, target: Path) -> int:
    """A compressed .npz of packet sequences and labels, without pickles; n flows, L packets.

    - one array per sequence column, for example ``seq_size_bytes``: [n, L], as in the flow table;
    - ``label``: int64 [n], a place in ``classes`` (texts), -1 where there is no single label;
    - ``split``: int64 [n], a place in ``splits`` (texts), -1 for none;
    - ``flow_id``, ``run_id``: texts [n], unless ids are dropped.

    Raises
    ------
    InputError
        The flow table has no packet sequences.
    """
    sequences = [f.name for f in rows.schema if pa.types.is_fixed_size_list(f.type)]
    if not sequences:
        raise InputError(
            Problem(
                str(rows.folder),
                "flows",
                "packet sequences",
                "none in the flow table",
                "meter with a feature set that has them, or export another format",
            )
        )
    texts = [name for name in ("flow_id", "run_id") if name in rows.schema.names]
    names = [*sequences, "label", "split", *texts]
    tables = [table.select(names) for table in rows.batches()]
    table = pa.concat_tables(tables) if tables else rows.schema.empty_table().select(names)
    arrays: dict[str, npt.NDArray[Any]] = {name: _steps(table[name]) for name in sequences}
    classes = [name for name in rows.summary.vocabulary if name not in (UNLABELLED, AMBIGUOUS)]
    for name, plural, values in (
        ("label", "classes", classes),
        ("split", "splits", list(SPLIT_ORDER)),
    ):
        place = pc.index_in(table[name], value_set=pa.array(values, pa.string()))
        arrays[name] = pc.fill_null(place, -1).to_numpy().astype(np.int64)
        arrays[plural] = np.array(values, dtype=np.str_)
    for name in texts:
        arrays[name] = np.array(table[name].to_pylist(), dtype=np.str_)
    with target.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    return len(table["label"])


def _steps(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    length = column.type.list_size
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(-1, length)
