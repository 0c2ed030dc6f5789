"""Of each check one planted defect and its clean twin; the benchmark plants them all."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from audit import AuditData, all_checks
from audit.result import THRESHOLDS, load_thresholds
from benchmarks.planted import Defect, clean, defects
from benchmarks.planted_runs import RUN_DEFECTS

FIRST = {defect.check: defect for defect in reversed(defects())}
TABLES = ("B4", "C2", "C6", "D1", "D2", "D3", "E1", "E3", "F1", "F2")
QUICK = [d for d in defects() if d.check in (*TABLES, *RUN_DEFECTS)]
WANTED = {
    *("B4", "C2", "C6", "C9", "D1", "D2", "D3", "D4", "D6", "D7"),
    *("E1", "E2", "E3", "F1", "F2"),
    *RUN_DEFECTS,
}


@cache
def healthy() -> AuditData:
    return clean(1).data()


def verdict(id_: str, data: AuditData) -> str:
    checks = all_checks()
    return checks[id_](data, load_thresholds(THRESHOLDS, known=checks)).verdict


def planted(defect: Defect) -> AuditData:
    table = clean(1)
    defect.spoil(table, np.random.default_rng(2))
    return table.data()


def test_every_check_that_blocks_has_a_planting():
    assert set(FIRST) >= WANTED
    limits = load_thresholds(THRESHOLDS, known=all_checks())
    assert {id_ for id_, limit in limits.items() if limit.severity == "B"} <= set(FIRST)
    assert len(defects()) * 2 >= 100


@pytest.mark.parametrize("id_", FIRST)
def test_the_clean_twin_passes(id_):
    assert verdict(id_, healthy()) == "pass"


@pytest.mark.parametrize(
    "defect",
    [*QUICK, *(FIRST[id_] for id_ in ("C7", "C9", "D4", "D6", "D7", "E2"))],
    ids=lambda defect: f"{defect.check}-{defect.name}",
)
def test_the_defect_is_found(defect):
    assert verdict(defect.check, planted(defect)) == "fail"
