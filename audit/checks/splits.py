"""E: is the test run really another one?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from audit.data import AuditData, Floats
from audit.result import Finding, at_most, check, nothing_to_measure

Hashes = npt.NDArray[np.uint64]


@check(
    "E1",
    "share of test flows with an exact twin (all features and packets) in the training split",
    remedy="vary the parameters of the classes named: sizes, targets, pauses",
)
def twins_across_splits(data: AuditData, limit: float) -> Finding:
    """Compare hashes of everything in a row that a model may see."""
    if not (data.train.any() and data.test.any() and (data.features or data.sequences)):
        return nothing_to_measure("no labelled flows in one of the splits, or no features")
    hashes = _row_hashes(data)
    twin = data.test & np.isin(hashes, np.unique(hashes[data.train]))
    sizes, found = Counter(data.label[data.test].tolist()), Counter(data.label[twin].tolist())
    return at_most(
        float(twin.sum() / data.test.sum()),
        limit,
        f"{int(twin.sum())} of {int(data.test.sum())} test flows",
        *(f"{name}: {count} of {sizes[name]}" for name, count in found.most_common()),
    )


def _row_hashes(data: AuditData) -> Hashes:
    """A 64-bit hash of everything in a row that a model may see."""
    hashes = np.full(len(data.label), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for field in (*data.features, *data.sequences):
        values = data.values(field.name)
        for column in values.reshape(len(values), -1).T:
            hashes = _mixed(hashes, column)
    return hashes


def _mixed(hashes: Hashes, column: Floats) -> Hashes:
    # The finaliser of splitmix64; + 0.0 makes one zero of two, and one NaN stands for all.
    bits = np.where(np.isnan(column), np.nan, column + 0.0).view(np.uint64)
    mixed = (hashes ^ bits) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@check(
    "E2",
    "runs on both sides of the split, and flows that are in the dataset twice",
    remedy="give every run to one split only, and meter each run once",
)
def splits_by_run(data: AuditData, limit: float) -> Finding:
    """Look for runs and for single flows on both sides."""
    if not len(data.label):
        return nothing_to_measure("no flows")
    sides = data.splits.group_by(["run_id", "split"]).aggregate([]).to_pylist()
    runs = Counter(side["run_id"] for side in sides)
    both = [run for run, count in runs.items() if count > 1]
    copies = _copies(data)
    planned = {run.run_id: run.split for run in data.summary.runs}
    moved = [s["run_id"] for s in sides if planned.get(s["run_id"]) != s["split"]]
    shares = Counter(data.splits["split"].to_pylist())
    return at_most(
        len(set(both) | set(moved)) + copies,
        limit,
        ", ".join(f"{count} flows in {split}" for split, count in sorted(shares.items())),
        *(f"run {run} is in both splits" for run in both),
        *(f"run {run} has flows in a split it was not given to" for run in moved),
        *([f"{copies} flows are copies of another (end points and times)"] if copies else []),
    )


def _copies(data: AuditData) -> int:
    """Rows that repeat end points, network and times of another, whatever their id."""
    names = ["network", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "first_ns",
             "last_ns"]  # fmt: skip
    if not data.has(*names):
        return 0
    table = data.splits.select(["flow_id"])
    for name in names:
        table = table.append_column(name, data.column(name))
    distinct: int = table.group_by(names).aggregate([]).num_rows
    return len(data.label) - distinct
