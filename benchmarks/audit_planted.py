"""How many planted defects the audit finds, and how many clean tables it accuses.

    python -m benchmarks.audit_planted --seeds 3

Each defect is planted into clean tables of several seeds; its check has to fail, and to pass the
table's clean twin.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np

from audit import Check, Threshold, all_checks
from audit.data import AuditData
from audit.result import THRESHOLDS, load_thresholds
from benchmarks.planted import clean, defects
from benchmarks.timing import publish

CLEAN_TABLES = 8
Checks = Mapping[str, Check]
Limits = Mapping[str, Threshold]


def main() -> None:
    """Plant, look, and publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--first", type=int, default=100, help="none that the tests use")
    asked = options.parse_args()
    checks = all_checks()
    limits = load_thresholds(THRESHOLDS, known=checks)
    seeds = range(asked.first, asked.first + asked.seeds)
    planted, found = _planted(seeds, checks, limits)
    seeds = range(asked.first, asked.first + max(asked.seeds, CLEAN_TABLES))
    judged, accused = _clean(seeds, planted, checks, limits)
    rows: list[list[object]] = [
        [id_, checks[id_].title, planted[id_], found[id_], judged[id_], accused[id_]]
        for id_ in planted
    ]
    total = planted.total()
    rows.append(
        ["all", "", total, f"{found.total()} ({100 * found.total() / total:.1f} %)",
         judged.total(), f"{accused.total()} ({100 * accused.total() / judged.total():.1f} %)"]
    )  # fmt: skip
    columns = ["check", "what", "planted", "found", "clean", "accused"]
    publish("Planted defects", "python -m benchmarks.audit_planted", columns, rows)


def fails(id_: str, data: AuditData, checks: Checks, limits: Limits) -> bool:
    """Whether a check fails on a table."""
    return checks[id_](data, limits).verdict == "fail"


def _planted(seeds: range, checks: Checks, limits: Limits) -> tuple[Counter[str], Counter[str]]:
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for number, defect in enumerate(defects()):
        for seed in seeds:
            table = clean(seed)
            defect.spoil(table, np.random.default_rng([seed, number]))
            planted[defect.check] += 1
            if fails(defect.check, table.data(), checks, limits):
                found[defect.check] += 1
            else:
                print(f"missed: {defect.check} {defect.name}, seed {seed}", file=sys.stderr)
    return planted, found


def _clean(
    seeds: range, planted: Counter[str], checks: Checks, limits: Limits
) -> tuple[Counter[str], Counter[str]]:
    judged: Counter[str] = Counter()
    accused: Counter[str] = Counter()
    for seed in seeds:
        data = clean(seed).data()
        for id_ in planted:
            judged[id_] += 1
            if fails(id_, data, checks, limits):
                accused[id_] += 1
                said = checks[id_](data, limits).evidence[:3]
                print(f"accused: {id_}, seed {seed}: {said}", file=sys.stderr)
    return judged, accused


if __name__ == "__main__":
    main()
