"""E: is the test run really another one?"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa

from audit.data import AuditData, Bools
from audit.result import Finding, Threshold, check, nothing_to_measure
from audit.scores import random_f1
from tagger.twins import Hashes

END_POINTS: Final = (
    "network", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "first_ns", "last_ns"
)  # fmt: skip


@check(
    "E1",
    "share of test flows with an exact twin (all features and packets) in the training split",
    remedy="vary the parameters of the classes named: sizes, targets, pauses",
    needs=("labelled", "features"),
)
def twins_across_splits(data: AuditData, allowed: Threshold) -> Finding:
    """Compare hashes of everything in a row that a model may see; of near twins, its sizes, counts
    and flags to two digits. Without a split, tell how many flows have a twin at all.
    """
    if not data.split_known:
        return _twins_anywhere(data)
    if not (data.train.any() and data.test.any()):
        return nothing_to_measure("no labelled flows in one of the splits")
    twin, near = (_twins(data, of) for of in (data.hashed.exact, data.hashed.near))
    tests = int(data.test.sum())
    sizes, found = Counter(data.label[data.test].tolist()), Counter(data.label[twin].tolist())
    close = Counter(data.label[near].tolist())
    value, nearly = float(twin.sum() / tests), float(near.sum() / tests)
    failed = value > allowed.limit or nearly > allowed.also["near"]
    evidence = (
        (
            f"{int(twin.sum())} of {tests} test flows; near twins: {int(near.sum())} "
            f"({100 * nearly:.1f} % against {100 * allowed.also['near']:g} %)"
        ),
        *(f"{name}: {count} of {sizes[name]}" for name, count in found.most_common()),
        *(f"near twins, {name}: {n} of {sizes[name]}" for name, n in close.most_common()),
    )
    shares = {
        name: count / sizes[name]
        for name, count in (close | found).items()
        if name in found or count > allowed.also["near"] * sizes[name]
    }
    return Finding("fail" if failed else "pass", value, evidence, shares)


def _twins(data: AuditData, hashes: Hashes) -> Bools:
    """Test flows that look like a training flow."""
    return np.asarray(data.test & np.isin(hashes, np.unique(hashes[data.train])), dtype=np.bool_)


def _twins_anywhere(data: AuditData) -> Finding:
    label = data.label[data.labelled]
    _, number, counts = np.unique(
        data.hashed.exact[data.labelled], return_inverse=True, return_counts=True
    )
    twin = counts[number] > 1
    sizes, found = Counter(label.tolist()), Counter(label[twin].tolist())
    return Finding(
        "info",
        float(twin.mean()),
        (
            (
                f"no split is recorded; {int(twin.sum())} of {len(label)} flows have a twin "
                "somewhere, and a random split puts it on the other side"
            ),
            *(f"{name}: {count} of {sizes[name]}" for name, count in found.most_common()),
        ),
    )


@check(
    "E2",
    "runs on both sides of the split, and flows that are in the dataset twice",
    remedy="give every run to one split only, and meter each run once",
    needs=("flows", "splits"),
)
def splits_by_run(data: AuditData, allowed: Threshold) -> Finding:
    """Look for runs and for single flows on both sides; measure what a random split would feign."""
    both, moved = _torn_runs(data)
    copies = _copies(data)
    shares = Counter(data.split[data.split != ""].tolist())
    value = len(set(both) | set(moved)) + copies
    return Finding(
        "pass" if value <= allowed.limit else "fail",
        value,
        (
            ", ".join(f"{count} flows in {split}" for split, count in sorted(shares.items())),
            *(f"run {run} is in both splits" for run in both),
            *(f"run {run} has flows in a split it was not given to" for run in moved),
            *([f"{copies} flows are copies of another (end points and times)"] if copies else []),
            *_optimism(data),
        ),
    )


def _torn_runs(data: AuditData) -> tuple[list[str], list[str]]:
    """Runs in several splits, and runs in another split than the dataset says."""
    if "run" not in data.context:
        return [], []
    if data.lineage is not None and data.lineage.splitting.by in ("host", "time"):
        return [], []  # whole hosts or windows of a run are on one side each
    codes, names = data.codes("run")
    sides = [
        (names[code], split)
        for code, split in sorted(
            (code, split)
            for split in set(data.split.tolist()) - {""}
            for code in np.unique(codes[data.split == split]).tolist()
        )
        if code >= 0
    ]
    both = [run for run, count in Counter(run for run, _ in sides).items() if count > 1]
    if data.lineage is None:
        return both, []
    planned = {run.run_id: run.split for run in data.lineage.runs}
    return both, [run for run, split in sides if planned.get(run) != split]


def _optimism(data: AuditData) -> list[str]:
    if not data.sample.learnable:
        return []
    random = random_f1(data.sample)
    return [
        (
            f"optimism gap {random - data.full_f1:+.3f}: macro-F1 {random:.3f} by a random split, "
            f"{data.full_f1:.3f} by the table's own"
        )
    ]


def _copies(data: AuditData) -> int:
    """Rows that repeat end points, network and both times of another, whatever their id."""
    names = [name for name in END_POINTS if data.has(name)]
    if not {"src_ip", "dst_ip", "src_port", "first_ns", "last_ns"} <= set(names):
        return 0
    table = pa.table([data.column(name) for name in names], names=names)
    distinct: int = table.group_by(names).aggregate([]).num_rows
    return len(data.label) - distinct


MANY: Final = 20  # different values, below which a feature is a flag or a share by nature
LEVEL: Final = 1e-3
NEARLY_ALL: Final = 0.9


@check(
    "E3",
    "features that were scaled with the test rows: their mean is 0 and their deviation 1 over all",
    remedy="store the features as they were measured; builder fits its preprocessing on train only",
    needs=("features", "splits"),
)
def scaled_together(data: AuditData, allowed: Threshold) -> Finding:
    """A feature that is standardised over both splits, and not over one, was fitted on both.

    So were features that fill 0 to 1 to the ends, if nearly all do; shares do by nature.
    Our flow tables hold what was measured, and only the training part reaches the fit of a model's
    preprocessing.
    """
    standard, filled, judged = [], [], 0
    for field in data.features:
        one = data.looks[field.name]
        if one.known <= MANY:
            continue
        judged += 1
        if abs(one.mean) < LEVEL and abs(one.deviation - 1) < LEVEL:
            standard.append(field.name)
        elif one.low == 0 and one.high == 1:
            filled.append(field.name)
    if not judged:
        return nothing_to_measure("no feature with enough different values")
    together = standard + (filled if len(filled) >= NEARLY_ALL * judged else [])
    return Finding(
        "pass" if len(together) <= allowed.limit else "fail",
        len(together),
        tuple(f"{name} was scaled over both splits" for name in together),
    )
