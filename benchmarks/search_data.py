"""What the searches of ``benchmarks.search`` learn from: made flows, or those of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from builder.families.base import Inputs, Target

FEATURES: Final = (
    "duration_s", "c2s_packets", "s2c_packets", "c2s_payload_bytes", "s2c_payload_bytes",
    "iat_mean_ms", "c2s_size_mean_bytes", "s2c_size_mean_bytes",
)  # fmt: skip
SEQUENCES: Final = ("seq_size_bytes", "seq_direction", "seq_iat_us")


def tabular(rows: int, classes: int = 6) -> tuple[Inputs, Target]:
    """Flows as hard to tell apart as real ones: skewed columns, a tenth of the labels wrong."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, rows)
    columns = rng.lognormal(0, 1, (rows, 60)) + 0.4 * (truth[:, None] * rng.random(60) % 1.7)
    told = np.where(rng.random(rows) < 0.1, rng.integers(0, classes, rows), truth)
    return Inputs(columns.astype(np.float32)), Target("classify", told, classes)


def talking(rows: int, classes: int = 5, length: int = 20) -> tuple[Inputs, Target]:
    """Flows whose class is in the order of their packets: sizes that follow one another."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, rows)
    speech = rng.dirichlet(np.full(6, 0.6), (classes, 6))  # of a class: which kind follows which
    kinds = np.zeros((rows, length), dtype=int)
    for step in range(1, length):
        chances = speech[truth, kinds[:, step - 1]].cumsum(axis=1)
        kinds[:, step] = (chances < rng.random((rows, 1))).sum(axis=1).clip(max=5)
    sizes = np.array([60, 120, 300, 600, 1200, 1500])[kinds] * rng.lognormal(0, 0.1, kinds.shape)
    steps = np.stack([sizes, 1 - 2 * (kinds % 2), rng.lognormal(6, 2, kinds.shape)], axis=-1)
    steps[np.arange(length) >= rng.integers(6, length + 1, (rows, 1))] = 0
    features = np.column_stack([steps[..., 0].sum(axis=1), rng.lognormal(0, 1, (rows, 9))])
    inputs = Inputs(features.astype(np.float32), steps.astype(np.float32))
    return inputs, Target("classify", truth, classes)


def of_a_run(flows: Path, labels: Path, most: int) -> tuple[Inputs, Target]:
    """Packet sequences, classes and activities of the labelled flows of classes with 30 or more."""
    table = pq.read_table(flows, columns=["flow_id", *FEATURES, *SEQUENCES])
    told = pq.read_table(labels, columns=["flow_id", "label", "activity_id"]).to_pylist()
    by_id = {row["flow_id"]: row for row in told}
    ids = table["flow_id"].to_pylist()
    label = np.array([by_id.get(one, {}).get("label") or "unlabelled" for one in ids])
    names, counts = np.unique(label, return_counts=True)
    kept = [n for n, c in zip(names, counts, strict=True) if c >= 30 and n != "unlabelled"]
    if len(kept) < 2:
        sys.exit(f"{labels} names fewer than two classes of 30 flows of {flows}")
    chosen = np.flatnonzero(np.isin(label, kept))
    chosen = np.random.default_rng(0).permutation(chosen)[:most]
    steps = np.stack([np.array(table[n].to_pylist(), np.float32) for n in SEQUENCES], axis=-1)
    activity = [by_id.get(one, {}).get("activity_id") or one for one in ids]
    groups = np.unique(np.array(activity)[chosen], return_inverse=True)[1]
    classes = np.searchsorted(kept, label[chosen]).astype(np.int64)
    features = np.column_stack([table[name].to_numpy() for name in FEATURES]).astype(np.float32)
    inputs = Inputs(features[chosen], steps[chosen])
    return inputs, Target("classify", classes, len(kept), groups)
