"""Time compression: everything in seconds is divided, nothing is drawn anew."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from launcher.compile import compile_run
from launcher.tempo import faster, shorter
from topologies import load_topology

SMALL = Path(__file__).parents[1] / "e2e/small.yaml"


@pytest.fixture(scope="module")
def document():
    return load_topology(str(SMALL))


def test_the_same_sessions_come_faster(document) -> None:
    plan = compile_run(document, seed=1)
    fast = faster(plan, 4.0)
    assert fast.lab == plan.lab
    assert len(fast.sessions) == len(plan.sessions) > 10
    for slow, quick in zip(plan.sessions, fast.sessions, strict=True):
        assert quick.start_s == slow.start_s / 4
        assert quick.duration_s == slow.duration_s / 4
        for name, value in slow.think_time.items():
            assert quick.think_time[name] == (value / 4 if name.endswith("_s") else value)
        changed = {"start_s", "duration_s", "think_time"}
        same = [{k: v for k, v in asdict(s).items() if k not in changed} for s in (slow, quick)]
        assert same[0] == same[1]


def test_by_one_nothing_changes(document) -> None:
    plan = compile_run(document, seed=1)
    assert faster(plan, 1.0) == plan


def test_phases_keep_their_names_and_intensities(document) -> None:
    phases = document.model.phases
    short = shorter(phases, 2.0)
    assert [p.duration_s for p in short] == [p.duration_s / 2 for p in phases]
    assert [(p.name, p.intensity) for p in short] == [(p.name, p.intensity) for p in phases]
